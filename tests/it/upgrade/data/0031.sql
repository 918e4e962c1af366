-- A listing that was in doubt left a member out, and the others have left a group team.
update rollcall.directory_group_member set kept_in_doubt = true, was_owner = true;
insert into rollcall.directory_group_member (group_id, object_id, was_owner)
select distinct t.azureactivedirectoryobjectid, s.azureactivedirectoryobjectid, true
from rollcall.team t join rollcall.system_user s on s.environment = t.environment
where t.azureactivedirectoryobjectid is not null and s.azureactivedirectoryobjectid is not null and s.deletedstate = 0
on conflict (group_id, object_id) do nothing;
