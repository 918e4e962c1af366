-- Teams that follow a group keep their members while the group is in doubt, and know whom they have lost.
alter table rollcall.directory_group_member
    add column kept_in_doubt boolean not null default false,  -- left out by a listing that is in doubt: teams keep it
    add column was_owner boolean not null default false;      -- an owner once, and not any more

create or replace view rollcall.directory_membership as
select m.group_id, m.object_id, m.is_group, m.is_owner,
       m.is_member and m.seen_round >= coalesce(l.groups_asked, 0) as is_member,
       (m.is_member or m.kept_in_doubt) and m.seen_round >= coalesce(l.groups_asked, 0) as is_team_member,
       m.was_owner
from rollcall.directory_group_member m
left join rollcall.directory_look_up l on l.object_id = m.object_id;

-- As in 0026, but for the members of groups.
create or replace view rollcall.team_membership as
select m.environment, m.teamid, m.systemuserid
from rollcall.team_member m
join rollcall.system_user s on s.environment = m.environment and s.systemuserid = m.systemuserid
where s.deletedstate = 0
union all
select t.environment, t.teamid, s.systemuserid
from rollcall.team t
join rollcall.system_user s on s.environment = t.environment and s.businessunitid = t.businessunitid
where t.isdefault and s.deletedstate = 0
  and (s.azureactivedirectoryobjectid is not null or s.applicationid is not null)
union all
select t.environment, t.teamid, s.systemuserid
from rollcall.team t
join rollcall.business_unit b on b.environment = t.environment and b.businessunitid = t.businessunitid
join rollcall.system_user s on s.environment = t.environment and s.businessunitid is null
where t.isdefault and b.parentbusinessunitid is null and s.deletedstate = 0
  and (s.azureactivedirectoryobjectid is not null or s.applicationid is not null)
union all
select t.environment, t.teamid, s.systemuserid
from rollcall.team t
join rollcall.directory_membership m on m.group_id = t.azureactivedirectoryobjectid
join rollcall.system_user s on s.environment = t.environment and s.azureactivedirectoryobjectid = m.object_id
left join rollcall.directory_user u on u.id = m.object_id
where t.teamtype >= 2 and s.deletedstate = 0
  and case t.membershiptype
          when 0 then m.is_team_member
          when 1 then m.is_team_member and lower(u.usertype) is distinct from 'guest'
          when 2 then m.is_owner
          else m.is_team_member and lower(u.usertype) = 'guest'
      end;

-- Who was in a group team and is not any more.
create view rollcall.team_departure as
select t.environment, t.teamid, s.systemuserid
from rollcall.team t
join rollcall.directory_membership m on m.group_id = t.azureactivedirectoryobjectid
join rollcall.system_user s on s.environment = t.environment and s.azureactivedirectoryobjectid = m.object_id
where t.teamtype >= 2 and s.deletedstate = 0
  and case t.membershiptype when 2 then m.was_owner and not m.is_owner else not m.is_team_member end;
