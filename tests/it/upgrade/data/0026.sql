-- A profile with something in every column, a position, a team of each kind and who is in it.
set rollcall.writer = 'rollcall';
update rollcall.environment set default_unit_key = 'sales';
update rollcall.directory_user set usertype = 'Member';
insert into rollcall.business_unit (environment, businessunitid, name, name_key, parentbusinessunitid, isdisabled)
select environment, '00000000-0000-0000-0000-0000000000b1', 'Sales', 'sales', businessunitid, true
from rollcall.business_unit where environment = 'production';
insert into rollcall.position (environment, positionid, name, name_key, parentpositionid)
values ('production', '00000000-0000-0000-0000-0000000000c1', 'Head', 'head', null),
       ('production', '00000000-0000-0000-0000-0000000000c2', 'Clerk', 'clerk', '00000000-0000-0000-0000-0000000000c1');
update rollcall.system_user set
    businessunitid = '00000000-0000-0000-0000-0000000000b1', positionid = '00000000-0000-0000-0000-0000000000c2',
    parentsystemuserid = '00000000-0000-0000-0001-000000000001', title = 'Dr', nickname = 'Ada', middlename = 'King',
    employeeid = '4711', preferredlanguage = 'en-GB'
where systemuserid = '00000000-0000-0000-0001-0000000000ad';
insert into rollcall.team (environment, teamid, name, name_key, teamtype, businessunitid, administratorid, isdefault,
                           azureactivedirectoryobjectid, membershiptype)
values ('production', '00000000-0000-0000-0000-0000000000e1', 'Sales', 'sales', 0,
        '00000000-0000-0000-0000-0000000000b1', null, true, null, null),
       ('production', '00000000-0000-0000-0000-0000000000e2', 'Callers', 'callers', 1,
        '00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0001-0000000000ad', false, null, null),
       ('production', '00000000-0000-0000-0000-0000000000e3', 'Group', 'group', 2,
        '00000000-0000-0000-0000-0000000000b1', null, false, '00000000-0000-0000-0000-000000000096', 0);
insert into rollcall.team_member (environment, teamid, systemuserid) values
    ('production', '00000000-0000-0000-0000-0000000000e2', '00000000-0000-0000-0001-0000000000ad');
insert into rollcall.team_role (environment, teamid, role) values
    ('production', '00000000-0000-0000-0000-0000000000e1', 'Basic User');
