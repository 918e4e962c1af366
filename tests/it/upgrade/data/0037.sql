-- A verification is in progress: somebody differs; a run has found something; somebody is asked for once more.
insert into rollcall.directory_difference (source, object_id, is_group, asked)
values ('users', '00000000-0000-4000-8000-0000000000df', false, 1);
insert into rollcall.sync_run_verification (run_id, result)
select min(id), '{"is_complete": true, "users": 1, "members": 0, "drift": {"users": 1, "properties": {"jobTitle": 1}}}'
from rollcall.sync_run;
insert into rollcall.directory_recheck (object_id, asked, asks_twice, due_at)
values ('00000000-0000-4000-8000-0000000000df', 1, true, '2026-02-01');
insert into rollcall.directory_answer (asked, stored, at, is_change) values (99, 100, '2026-02-01', true);
