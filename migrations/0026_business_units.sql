-- Business units, positions and teams of each environment, and the columns of a profile that people edit.

-- A customer may have columns of these names. They are adopted with their values if the program can write them: of the
-- same type, nullable and not computed. Otherwise nothing is changed.
do $$
declare
    unfit text;
begin
    select string_agg(format('%I (%s)', name, format_type(atttypid, atttypmod)
                             || case when attnotnull then ', not null' else '' end
                             || case when attgenerated <> '' or attidentity <> '' then ', computed' else '' end), ', ')
    into unfit
    from (values ('businessunitid', 'uuid'::regtype), ('parentsystemuserid', 'uuid'), ('positionid', 'uuid'),
                 ('title', 'text'), ('nickname', 'text'), ('middlename', 'text'), ('employeeid', 'text'),
                 ('preferredlanguage', 'text')) as wanted (name, kind)
    join pg_attribute on attrelid = 'rollcall.system_user'::regclass and attname = name and not attisdropped
    where atttypid <> kind or attnotnull or attgenerated <> '' or attidentity <> '';
    if unfit is not null then
        raise exception
            'system_user has columns of its owner under names that this version needs: %. Give each another name, or make businessunitid, parentsystemuserid and positionid nullable columns of type uuid and the others nullable columns of type text',
            unfit using errcode = 'duplicate_column';
    end if;
end $$;

alter table rollcall.system_user
    add column if not exists businessunitid uuid,      -- null: the root
    add column if not exists parentsystemuserid uuid,  -- the manager, a row of the same environment
    add column if not exists positionid uuid,
    add column if not exists title text,
    add column if not exists nickname text,
    add column if not exists middlename text,
    add column if not exists employeeid text,
    add column if not exists preferredlanguage text;

-- The folded name of the unit that new rows get, as configured; the root where there is no such unit.
alter table rollcall.environment add column default_unit_key text;
-- Member or Guest; null: a member.
alter table rollcall.directory_user add column usertype text;

-- Names are unique as the program folds them.
create table rollcall.business_unit (
    environment text not null,
    businessunitid uuid not null,
    name text not null check (name <> ''),
    name_key text not null check (name_key <> ''),
    parentbusinessunitid uuid check (parentbusinessunitid <> businessunitid),  -- null: the root
    isdisabled boolean not null default false,
    createdon timestamptz not null default now(),
    createdby text not null default session_user,
    modifiedon timestamptz not null default now(),
    modifiedby text not null default session_user,
    primary key (environment, businessunitid),
    constraint business_unit_name unique (environment, name_key),
    foreign key (environment, parentbusinessunitid) references rollcall.business_unit,
    check (parentbusinessunitid is not null or not isdisabled)
);
create unique index business_unit_root on rollcall.business_unit (environment) where parentbusinessunitid is null;

create table rollcall.position (
    environment text not null,
    positionid uuid not null,
    name text not null check (name <> ''),
    name_key text not null check (name_key <> ''),
    parentpositionid uuid check (parentpositionid <> positionid),
    createdon timestamptz not null default now(),
    createdby text not null default session_user,
    modifiedon timestamptz not null default now(),
    modifiedby text not null default session_user,
    primary key (environment, positionid),
    constraint position_name unique (environment, name_key),
    foreign key (environment, parentpositionid) references rollcall.position
);

create table rollcall.team (
    environment text not null,
    teamid uuid not null,
    name text not null check (name <> ''),
    name_key text not null check (name_key <> ''),
    teamtype smallint not null check (teamtype between 0 and 3),  -- owner, access, security group, Microsoft 365 group
    businessunitid uuid not null,
    administratorid uuid,                                         -- a row of the same environment
    isdefault boolean not null default false,                     -- its members are the users of its unit
    azureactivedirectoryobjectid uuid,
    membershiptype smallint check (membershiptype between 0 and 3), -- members and guests, members, owners, guests
    createdon timestamptz not null default now(),
    createdby text not null default session_user,
    modifiedon timestamptz not null default now(),
    modifiedby text not null default session_user,
    primary key (environment, teamid),
    constraint team_name unique (environment, name_key),
    constraint team_group unique (environment, azureactivedirectoryobjectid, membershiptype),
    foreign key (environment, businessunitid) references rollcall.business_unit,
    check (not isdefault or teamtype = 0),
    check ((teamtype >= 2) = (azureactivedirectoryobjectid is not null)),
    check ((teamtype >= 2) = (membershiptype is not null))
);
create unique index team_default on rollcall.team (environment, businessunitid) where isdefault;

-- The members of owner and access teams that people added.
create table rollcall.team_member (
    environment text not null,
    teamid uuid not null,
    systemuserid uuid not null,
    added_at timestamptz not null default now(),
    added_by text not null default session_user,
    primary key (environment, teamid, systemuserid),
    foreign key (environment, teamid) references rollcall.team on delete cascade,
    foreign key (environment, systemuserid) references rollcall.system_user on delete cascade
);
create index team_member_user on rollcall.team_member (environment, systemuserid);

create table rollcall.team_role (
    environment text not null,
    teamid uuid not null,
    role text not null check (role <> ''),
    granted_at timestamptz not null default now(),
    granted_by text not null default session_user,
    primary key (environment, teamid, role),
    foreign key (environment, teamid) references rollcall.team on delete cascade
);

-- Who is in which team: added by a person, by unit, or by group. Deleted rows, stubs and placeholders are in none.
create view rollcall.team_membership as
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
          when 0 then m.is_member
          when 1 then m.is_member and lower(u.usertype) is distinct from 'guest'
          when 2 then m.is_owner
          else m.is_member and lower(u.usertype) = 'guest'
      end;

-- Who has which role, directly (through is null) or through which team.
create view rollcall.effective_role as
select distinct environment, systemuserid, role, null::uuid as through
from rollcall.system_user_role
where revoked_at is null
union all
select r.environment, m.systemuserid, r.role, r.teamid
from rollcall.team_role r
join rollcall.team_membership m on m.environment = r.environment and m.teamid = r.teamid;

-- The root and its default team are named as the environment.
insert into rollcall.business_unit (environment, businessunitid, name, name_key, createdby, modifiedby)
select name, md5('business unit ' || name)::uuid, name, name, 'sync', 'sync' from rollcall.environment;
insert into rollcall.team (environment, teamid, name, name_key, teamtype, businessunitid, isdefault, createdby, modifiedby)
select environment, gen_random_uuid(), name, name_key, 0, businessunitid, true, 'sync', 'sync'
from rollcall.business_unit;

-- As in 0012; new rows get their business unit.
create or replace function rollcall.write_each(of_environment text, of_run bigint, of_time timestamptz, by_actor text, units jsonb)
    returns table (unit integer, code text, by_constraint text, by_table text, by_column text, context text)
    language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    given jsonb;
    written bigint;
begin
    for given, unit in select value, ordinality - 1 from jsonb_array_elements(units) with ordinality loop
        begin
            if given -> 'release' <> '[]' then
                update rollcall.system_user set upn_key = null
                where environment = of_environment
                  and systemuserid in (select value::uuid from jsonb_array_elements_text(given -> 'release'));
            end if;
            if given -> 'update' <> '[]' then
                update rollcall.system_user s set
                    azureactivedirectoryobjectid = v.azureactivedirectoryobjectid, domainname = v.domainname,
                    fullname = v.fullname, firstname = v.firstname, lastname = v.lastname, jobtitle = v.jobtitle,
                    internalemailaddress = v.internalemailaddress, address1_telephone1 = v.address1_telephone1,
                    mobilephone = v.mobilephone, address1_line1 = v.address1_line1, address1_city = v.address1_city,
                    address1_stateorprovince = v.address1_stateorprovince,
                    address1_postalcode = v.address1_postalcode, address1_country = v.address1_country,
                    accessmode = v.accessmode, accessmode_origin = v.accessmode_origin, isdisabled = v.isdisabled,
                    disabledreason = v.disabledreason, disabled_by = v.disabled_by, islicensed = v.islicensed,
                    issyncwithdirectory = v.issyncwithdirectory, setupuser = v.setupuser, azurestate = v.azurestate,
                    azuredeletedon = v.azuredeletedon, deletedstate = v.deletedstate, isstub = v.isstub,
                    company = v.company, onhold = v.onhold, holdreason = v.holdreason,
                    last_entitlement = v.last_entitlement, due_at = v.due_at, modifiedon = v.modifiedon,
                    modifiedby = v.modifiedby, upn_key = v.upn_key, unheld_upn_key = v.unheld_upn_key
                from jsonb_to_recordset(given -> 'update') as v (
                    systemuserid uuid, azureactivedirectoryobjectid uuid, domainname text, fullname text,
                    firstname text, lastname text, jobtitle text, internalemailaddress text,
                    address1_telephone1 text, mobilephone text, address1_line1 text, address1_city text,
                    address1_stateorprovince text, address1_postalcode text, address1_country text,
                    accessmode smallint, accessmode_origin text, isdisabled boolean, disabledreason text,
                    disabled_by text, islicensed boolean, issyncwithdirectory boolean, setupuser boolean,
                    azurestate smallint, azuredeletedon timestamptz, deletedstate smallint, isstub boolean,
                    company text, onhold boolean, holdreason text, last_entitlement text, due_at timestamptz,
                    modifiedon timestamptz, modifiedby text, upn_key text, unheld_upn_key text)
                where s.environment = of_environment and s.systemuserid = v.systemuserid;
                get diagnostics written = row_count;
                if written <> jsonb_array_length(given -> 'update') then
                    raise no_data_found;
                end if;
            end if;
            if given -> 'insert' <> '[]' then
                insert into rollcall.system_user (
                    environment, createdon, createdby, businessunitid,
                    systemuserid, azureactivedirectoryobjectid, applicationid, domainname, fullname, firstname,
                    lastname, jobtitle, internalemailaddress, address1_telephone1, mobilephone, address1_line1,
                    address1_city, address1_stateorprovince, address1_postalcode, address1_country, accessmode,
                    accessmode_origin, isdisabled, disabledreason, disabled_by, islicensed, issyncwithdirectory,
                    setupuser, azurestate, azuredeletedon, deletedstate, isstub, company, onhold, holdreason,
                    last_entitlement, due_at, modifiedon, modifiedby, upn_key, unheld_upn_key)
                select of_environment, v.modifiedon, v.modifiedby, coalesce(
                    (select b.businessunitid from rollcall.environment e
                     join rollcall.business_unit b on b.environment = e.name and b.name_key = e.default_unit_key
                     where e.name = of_environment),
                    (select b.businessunitid from rollcall.business_unit b
                     where b.environment = of_environment and b.parentbusinessunitid is null)), v.*
                from jsonb_to_recordset(given -> 'insert') as v (
                    systemuserid uuid, azureactivedirectoryobjectid uuid, applicationid uuid, domainname text,
                    fullname text, firstname text, lastname text, jobtitle text, internalemailaddress text,
                    address1_telephone1 text, mobilephone text, address1_line1 text, address1_city text,
                    address1_stateorprovince text, address1_postalcode text, address1_country text,
                    accessmode smallint, accessmode_origin text, isdisabled boolean, disabledreason text,
                    disabled_by text, islicensed boolean, issyncwithdirectory boolean, setupuser boolean,
                    azurestate smallint, azuredeletedon timestamptz, deletedstate smallint, isstub boolean,
                    company text, onhold boolean, holdreason text, last_entitlement text, due_at timestamptz,
                    modifiedon timestamptz, modifiedby text, upn_key text, unheld_upn_key text);
                get diagnostics written = row_count;
                if written <> jsonb_array_length(given -> 'insert') then
                    raise no_data_found;
                end if;
            end if;
            insert into rollcall.system_user_change (
                environment, at, run_id, actor, systemuserid, operation, reason, by_rule, fields)
            select of_environment, c.at, of_run, c.actor, c.id, c.operation, c.reason, c.by_rule, c.fields
            from jsonb_to_recordset(given -> 'log') as c (
                id uuid, at timestamptz, actor text, operation text, reason text, by_rule boolean, fields jsonb);
            if given -> 'grant' <> '[]' then
                with granted as (
                    insert into rollcall.system_user_role as r (
                        environment, systemuserid, role, provenance, granted_at, granted_by)
                    select of_environment, c.id, c.role, c.provenance, of_time, by_actor
                    from jsonb_to_recordset(given -> 'grant') as c (id uuid, role text, provenance text)
                    on conflict (environment, systemuserid, role, provenance) do update set
                        revoked_at = null, revoked_by = null, granted_at = excluded.granted_at,
                        granted_by = excluded.granted_by
                    where r.revoked_at is not null
                    returning r.systemuserid, r.role, r.provenance),
                logged as (
                    insert into rollcall.system_user_change (
                        environment, at, run_id, actor, systemuserid, operation, fields)
                    select of_environment, of_time, of_run, by_actor, g.systemuserid, 'grant',
                           jsonb_build_object('role', jsonb_build_array(null, g.role),
                                              'provenance', jsonb_build_array(null, g.provenance))
                    from granted g)
                select count(*) into written from granted;
                if written <> jsonb_array_length(given -> 'grant') then
                    raise no_data_found;
                end if;
            end if;
            if given -> 'take' <> '[]' then
                with dropped as (
                    delete from rollcall.system_user_role r
                    using jsonb_to_recordset(given -> 'take') as c (id uuid, role text, provenance text)
                    where r.environment = of_environment and r.systemuserid = c.id and r.role = c.role
                      and r.provenance = c.provenance
                    returning r.systemuserid, r.role, r.provenance, r.revoked_at),
                logged as (
                    insert into rollcall.system_user_change (
                        environment, at, run_id, actor, systemuserid, operation, fields)
                    select of_environment, of_time, of_run, by_actor, d.systemuserid, 'revoke',
                           jsonb_build_object('role', jsonb_build_array(d.role, null),
                                              'provenance', jsonb_build_array(d.provenance, null))
                    from dropped d where d.revoked_at is null)
                select count(*) into written from dropped;
                if written <> jsonb_array_length(given -> 'take') then
                    raise no_data_found;
                end if;
            end if;
            -- A constraint that waits for the commit speaks up here, while it is known whom it is about.
            set constraints all immediate;
        exception when others or assert_failure or query_canceled then
            get stacked diagnostics code = returned_sqlstate, by_constraint = constraint_name, by_table = table_name,
                by_column = column_name, context = pg_exception_context;
            if code ~ '^(53|58|XX|57014|55P03|25006|0A000)' and split_part(context, E'\n', 1) !~ ' RAISE' then
                raise;
            end if;
            return next;
        end;
    end loop;
end $$;
