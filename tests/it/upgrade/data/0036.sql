-- Somebody is soft-deleted, and somebody was looked up.
insert into rollcall.directory_deleted (object_id, noted_at)
values ('00000000-0000-4000-8000-0000000000de', '2026-02-01');
insert into rollcall.directory_guest (object_id, until)
values ('00000000-0000-4000-8000-0000000000ad', '2026-02-01');
