-- Properties of the directory in further columns, where the configuration maps them ([[extra_field]]).

-- The mapped properties of a user: {"values": {property: value}, "undecodable": [property]}. Null where nothing is mapped.
alter table rollcall.directory_user add column extra jsonb;

-- Writes mapped columns of rows: [{"environment", "systemuserid", "values": {column: value}}]. A column that somebody has
-- dropped meanwhile is left out.
create function rollcall.write_extra(given jsonb) returns void
    language plpgsql set search_path = pg_catalog as $$
declare
    assignments text;
    one record;
begin
    select string_agg(format(
        '%1$I = case when one.value -> ''values'' ? %1$L then v.%1$I else s.%1$I end', attname), ', ')
    into assignments from pg_attribute
    where attrelid = 'rollcall.system_user'::regclass and attnum > 0 and not attisdropped
      and attname in (
          select jsonb_object_keys(r.value -> 'values') from jsonb_array_elements(given) as r);
    if assignments is not null then
        execute format(
            'update rollcall.system_user s set %s
             from jsonb_array_elements($1) as one
             cross join jsonb_populate_record(null::rollcall.system_user, one.value -> ''values'') as v
             where s.environment = one.value ->> ''environment''
               and s.systemuserid = (one.value ->> ''systemuserid'')::uuid', assignments)
        using given;
    end if;
exception when data_exception then
    -- PostgreSQL does not say which column takes no such value.
    for one in
        select v.key, v.value from jsonb_array_elements(given) as r, jsonb_each(r.value -> 'values') as v
    loop
        begin
            perform jsonb_populate_record(null::rollcall.system_user, jsonb_build_object(one.key, one.value));
        exception when data_exception then
            raise exception 'the column % does not take a value', one.key
                using errcode = sqlstate, table = 'system_user', column = one.key;
        end;
    end loop;
    raise;
end $$;

-- As in 0026; with the mapped columns. A version that maps none sends none.
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
            perform rollcall.write_extra(given -> 'extra');
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

-- Another program's edit makes a mapped column the customer's, as it does for the synchronised columns. Of the program's
-- own columns the trigger sees every write, of a customer's those that change the value.
do $$
declare
    field text;
begin
    foreach field in array array['title', 'nickname', 'middlename', 'employeeid', 'preferredlanguage'] loop
        execute format(
            'create trigger a_own_%1$s before update of %1$I on rollcall.system_user for each row
             when (coalesce(current_setting(''rollcall.writer'', true), '''') = ''''
                   or not has_function_privilege(''rollcall.write_as_sync()''::regprocedure, ''execute''))
             execute function rollcall.take_ownership(%1$L)', field);
    end loop;
end $$;

create function rollcall.take_extra_ownership() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before jsonb := to_jsonb(old);
    after jsonb := to_jsonb(new);
begin
    if tg_table_schema <> 'rollcall' or tg_table_name !~ '^system_user(_[0-9]+)?$' then
        raise exception 'this trigger is for rollcall.system_user alone' using errcode = 'insufficient_privilege';
    end if;
    new.customer_owned := new.customer_owned || array(
        select field from rollcall.environment, unnest(until_edited) as field
        where name = new.environment and field <> all (new.customer_owned)
          and before -> field is distinct from after -> field);
    return new;
end $$;

create trigger a_own_extra before update on rollcall.system_user for each row
    when (coalesce(current_setting('rollcall.writer', true), '') = ''
          or not has_function_privilege('rollcall.write_as_sync()'::regprocedure, 'execute'))
    execute function rollcall.take_extra_ownership();

revoke all on function rollcall.take_extra_ownership() from public;
revoke all on function rollcall.write_extra(jsonb) from public;
do $$
declare
    daemon name;
begin
    for daemon in
        select pg_get_userbyid(grantee) from pg_class, aclexplode(relacl)
        where oid = 'rollcall.lease'::regclass and privilege_type = 'INSERT' and grantee <> 0
    loop
        execute format('grant all on function rollcall.write_extra(jsonb) to %I', daemon);
    end loop;
end $$;
