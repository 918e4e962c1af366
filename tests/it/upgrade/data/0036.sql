-- Somebody is soft-deleted, and somebody was looked up.
insert into rollcall.directory_deleted (object_id, noted_at)
values ('00000000-0000-4000-8000-0000000000de', '2026-02-01');
insert into rollcall.directory_guest (object_id, until)
values ('00000000-0000-4000-8000-0000000000ad', '2026-02-01');
-- Somebody has left a group team, and an import goes into a unit of its environment.
insert into rollcall.directory_group_member (group_id, object_id, was_owner)
select distinct t.azureactivedirectoryobjectid, s.azureactivedirectoryobjectid, true
from rollcall.team t join rollcall.system_user s on s.environment = t.environment
where t.azureactivedirectoryobjectid is not null and s.azureactivedirectoryobjectid is not null and s.deletedstate = 0
on conflict (group_id, object_id) do update set was_owner = true;
update rollcall.import_job set businessunitid = (select businessunitid from rollcall.business_unit limit 1);
