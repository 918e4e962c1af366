-- A receiver that was down for a moment.
insert into rollcall.webhook values ('crm.example', 0, 2, '2026-02-02', '2026-02-01', '2026-02-02', 'answered 500');
insert into rollcall.webhook_waiting
values ('crm.example', 1, 'annex', '00000000-0000-0000-0001-0000000000ad', 2, '2026-02-01', '2026-02-02', true);
