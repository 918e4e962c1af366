-- When a number was drawn.
insert into rollcall.moment_mark values (1, '2026-02-01');
