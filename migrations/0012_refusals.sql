-- What a customer's own constraint or trigger refuses costs the rows concerned, and nobody else.

-- Directory users whose row could not be written, until it is. plan tells what would have been written: the same is not
-- tried again until everybody is judged, when plan is forgotten; anything else is tried at once.
create table rollcall.refusal (
    environment text not null,
    object_id uuid not null,
    plan text,
    detail text not null,
    at timestamptz not null,
    primary key (environment, object_id)
);

-- Writes units of a batch, each completely or not at all, and answers the refused ones. A unit is a row with its line in
-- the change log and its security roles, or several rows between which a name passes. It writes what the statements
-- of src/store/rows/write.rs, changes.rs and roles.rs write: a column that is added there is added here.
-- What the server itself lacks, or was waited for too long, is no fault of a row's and ends the whole.
create function rollcall.write_each(of_environment text, of_run bigint, of_time timestamptz, by_actor text, units jsonb)
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
                    environment, createdon, createdby,
                    systemuserid, azureactivedirectoryobjectid, applicationid, domainname, fullname, firstname,
                    lastname, jobtitle, internalemailaddress, address1_telephone1, mobilephone, address1_line1,
                    address1_city, address1_stateorprovince, address1_postalcode, address1_country, accessmode,
                    accessmode_origin, isdisabled, disabledreason, disabled_by, islicensed, issyncwithdirectory,
                    setupuser, azurestate, azuredeletedon, deletedstate, isstub, company, onhold, holdreason,
                    last_entitlement, due_at, modifiedon, modifiedby, upn_key, unheld_upn_key)
                select of_environment, v.modifiedon, v.modifiedby, v.*
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

-- Nobody but who takes the lease has any business with it.
revoke all on function rollcall.write_each(text, bigint, timestamptz, text, jsonb) from public;
do $$
declare
    daemon name;
begin
    for daemon in
        select pg_get_userbyid(grantee) from pg_class, aclexplode(relacl)
        where oid = 'rollcall.lease'::regclass and privilege_type = 'INSERT' and grantee <> 0
    loop
        execute format(
            'grant all on function rollcall.write_each(text, bigint, timestamptz, text, jsonb) to %I', daemon);
    end loop;
end $$;
