-- A page that was stored a while after it was asked for.
insert into rollcall.directory_answer (asked, stored, at) values (3, 5, '2026-02-01');
