-- Somebody whose row the database does not take.
insert into rollcall.refusal values
    ('annex', '00000000-0000-0000-0000-0000000000de', '0f', 'The database does not take the row: SQLSTATE 23514',
     '2026-02-01');
