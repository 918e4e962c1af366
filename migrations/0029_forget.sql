-- Blanks what the store holds about a person: values go; ids, operations, reasons and times stay. Only for somebody whom
-- the directory no longer has, and whose rows are deleted. `person` is the object id; null for rows that never had one.
--
-- Elsewhere the person appears by name: as the actor of changes, and in texts. A name that somebody else holds by now
-- stays there, since nobody can tell whom it means; the answer lists such names.
create function rollcall.forget(person uuid, of_environments text[], of_rows uuid[], who text, moment timestamptz)
    returns jsonb
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- Columns of a change whose values say nothing about the person.
    kept constant text[] := '{environment,systemuserid,azureactivedirectoryobjectid,applicationid,merged_into,
        businessunitid,parentsystemuserid,positionid,accessmode,accessmode_origin,isdisabled,disabledreason,islicensed,
        issyncwithdirectory,setupuser,azurestate,azuredeletedon,deletedstate,isstub,onhold,role,provenance,team}';
    replacement constant text := coalesce('user:' || person, 'forgotten');
    names text[];
    patterns text[];
    held text[];
    counted jsonb := '{}';
    part bigint;
    place record;
begin
    perform rollcall.write_as_sync();
    perform from rollcall.directory_user u where u.id = person for update;
    if exists (select from rollcall.directory_user u where u.id = person and u.state = 0) then
        raise exception 'the directory has this user' using errcode = 'invalid_parameter_value';
    end if;
    -- With the stubs that were merged into the rows.
    with own as (
        select s.environment, s.systemuserid
        from rollcall.environment e
        join rollcall.system_user s on s.environment = e.name and s.azureactivedirectoryobjectid = person
        union
        select environment, id from unnest(of_environments, of_rows) as given (environment, id)),
    with_stubs as (
        select environment, systemuserid from own
        union
        select s.environment, s.systemuserid from rollcall.system_user s
        join own on own.environment = s.environment and own.systemuserid = s.merged_into)
    select coalesce(array_agg(environment order by environment, systemuserid), '{}'),
           coalesce(array_agg(systemuserid order by environment, systemuserid), '{}')
    into of_environments, of_rows from with_stubs;
    perform from unnest(of_environments, of_rows) as own (environment, id)
        join rollcall.system_user s on s.environment = own.environment and s.systemuserid = own.id
        order by s.environment, s.systemuserid for update of s;
    if exists (
        select from unnest(of_environments, of_rows) as own (environment, id)
        join rollcall.system_user s on s.environment = own.environment and s.systemuserid = own.id
        where s.deletedstate = 0)
    then
        raise exception 'a row of this user is not deleted' using errcode = 'invalid_parameter_value';
    end if;

    select coalesce(array_agg(distinct lower(name)), '{}') into names from (
        select unnest(array[u.user_principal_name, u.upn_key, u.mail]) from rollcall.directory_user u where u.id = person
        union
        select unnest(array[s.domainname, s.upn_key, s.unheld_upn_key, s.internalemailaddress])
        from unnest(of_environments, of_rows) as own (environment, id)
        join rollcall.system_user s on s.environment = own.environment and s.systemuserid = own.id
        union
        select jsonb_array_elements_text(value)
        from unnest(of_environments, of_rows) as own (environment, id)
        join rollcall.system_user_change c on c.environment = own.environment and c.systemuserid = own.id
        cross join jsonb_each(c.fields)
        where key in ('domainname', 'internalemailaddress') and jsonb_typeof(value) = 'array'
        union
        select i.given from rollcall.import_item i where i.object_id = person
    ) as known (name) where name like '%_@_%';
    select coalesce(array_agg(name), '{}') into held from unnest(names) as given (name)
    where exists (
            select from rollcall.directory_user u
            where u.upn_key = name and u.state = 0 and u.id is distinct from person)
       or exists (
            select from rollcall.environment e
            join rollcall.system_user s on s.environment = e.name and s.upn_key = name);
    select coalesce(array_agg(name), '{}'), coalesce(array_agg('%' || replace(name, '\', '\\') || '%'), '{}')
    into names, patterns from unnest(names) as given (name) where name <> all (held);

    -- What is about the person.
    update rollcall.directory_user set
        user_principal_name = null, upn_key = null, display_name = null, given_name = null, surname = null,
        job_title = null, mail = null, business_phone = null, mobile_phone = null, street_address = null, city = null,
        state_or_province = null, postal_code = null, country = null, usertype = null, nul_removed = 0, undecodable = 0
    where id = person;
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('directory_user', part);
    update rollcall.system_user s set
        domainname = null, fullname = null, firstname = null, lastname = null, jobtitle = null,
        internalemailaddress = null, address1_telephone1 = null, mobilephone = null, address1_line1 = null,
        address1_city = null, address1_stateorprovince = null, address1_postalcode = null, address1_country = null,
        company = null, holdreason = null, title = null, nickname = null, middlename = null, employeeid = null,
        preferredlanguage = null, last_entitlement = null, upn_key = null, unheld_upn_key = null,
        modifiedon = greatest(moment, s.modifiedon), modifiedby = who
    from unnest(of_environments, of_rows) as own (environment, id)
    where s.environment = own.environment and s.systemuserid = own.id;
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('system_user', part);
    if part <> cardinality(of_rows) then
        raise exception 'a trigger keeps rows of this user from being written' using errcode = 'no_data_found';
    end if;
    delete from rollcall.name_to_fold n using unnest(of_environments, of_rows) as own (environment, id)
    where n.environment = own.environment and n.systemuserid = own.id;
    update rollcall.system_user_change c set fields = (
        select jsonb_object_agg(key, case when key = any (kept) then value else '[null, null]' end) from jsonb_each(c.fields))
    from unnest(of_environments, of_rows) as own (environment, id)
    where c.environment = own.environment and c.systemuserid = own.id and c.fields <> '{}';
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('system_user_change', part);
    update rollcall.planned_change c set domainname = null, fields = (
        select coalesce(jsonb_object_agg(key, case when key = any (kept) then value else '[null, null]' end), '{}')
        from jsonb_each(c.fields))
    where person in (c.who, c.azureactivedirectoryobjectid) or exists (
        select from unnest(of_environments, of_rows) as own (environment, id)
        where own.environment = c.environment and own.id in (c.systemuserid, c.who));
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('planned_change', part);
    update rollcall.finding set subject = '', detail = '', closed_at = coalesce(closed_at, greatest(moment, opened_at))
    where azureactivedirectoryobjectid = person;
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('finding', part);
    update rollcall.import_item i set given = coalesce(i.object_id::text, i.systemuserid::text, replacement), detail = null
    where i.object_id = person or i.systemuserid = any (of_rows) or lower(i.given) = any (names);
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('import_item', part);
    delete from rollcall.refusal where object_id = person;
    delete from rollcall.console_session where object_id = person or lower(actor) = any (names);

    -- Where the person has acted.
    for place in
        select * from (values
            ('system_user', 'createdby'), ('system_user', 'modifiedby'), ('system_user', 'disabled_by'),
            ('system_user_change', 'actor'), ('system_user_role', 'granted_by'), ('system_user_role', 'revoked_by'),
            ('business_unit', 'createdby'), ('business_unit', 'modifiedby'),
            ('position', 'createdby'), ('position', 'modifiedby'), ('team', 'createdby'), ('team', 'modifiedby'),
            ('team_member', 'added_by'), ('team_role', 'granted_by'), ('held_set', 'decided_by'),
            ('import_job', 'submitted_by'), ('import_job', 'cancelled_by')) as acts (of_table, of_column)
    loop
        execute format('update rollcall.%1$I set %2$I = $1 where lower(%2$I) = any ($2)', place.of_table, place.of_column)
        using replacement, names;
        get diagnostics part = row_count;
        counted := counted || jsonb_build_object('acts', coalesce((counted ->> 'acts')::bigint, 0) + part);
    end loop;
    update rollcall.system_user_change set fields = jsonb_set(fields, '{disabled_by}', '[null, null]')
    where lower(fields -> 'disabled_by' ->> 0) = any (names) or lower(fields -> 'disabled_by' ->> 1) = any (names);

    -- Texts that mention the person by name.
    for place in
        select * from (values
            ('finding', 'subject'), ('finding', 'detail'), ('import_item', 'detail'), ('import_job', 'error'),
            ('import_job', 'description'), ('refusal', 'detail'), ('held_set', 'why')) as texts (of_table, of_column)
    loop
        execute format(
            'update rollcall.%1$I set %2$I = (
                 select coalesce(string_agg(case when lower(word) = any ($2) then $1 else word end, '''' order by at), '''')
                 from regexp_matches(%2$I, ''[[:alnum:]._@#%%+''''-]*[[:alnum:]]|.'', ''g'') with ordinality as words (found, at)
                 cross join unnest(found) as word)
             where lower(%2$I) like any ($3)', place.of_table, place.of_column)
        using replacement, names, patterns;
        get diagnostics part = row_count;
        counted := counted || jsonb_build_object('texts', coalesce((counted ->> 'texts')::bigint, 0) + part);
    end loop;
    update rollcall.sync_run set
        changes = null, problems = array(
            select case when lower(problem) like any (patterns) then 'forgotten' else problem end
            from unnest(problems) with ordinality as said (problem, at) order by at)
    where lower(problems::text) like any (patterns) or lower(changes::text) like any (patterns)
       or changes::text like '%' || person || '%';
    get diagnostics part = row_count;
    counted := counted || jsonb_build_object('sync_run', part);

    insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
    select environment, moment, who, id, 'forget' from unnest(of_environments, of_rows) as own (environment, id);
    return jsonb_build_object('blanked', counted, 'held_names', held);
end $$;

revoke all on function rollcall.forget(uuid, text[], uuid[], text, timestamptz) from public;
do $$
declare
    daemon name;
begin
    for daemon in
        select pg_get_userbyid(grantee) from pg_class, aclexplode(relacl)
        where oid = 'rollcall.lease'::regclass and privilege_type = 'INSERT' and grantee <> 0
    loop
        execute format('grant all on function rollcall.forget(uuid, text[], uuid[], text, timestamptz) to %I', daemon);
    end loop;
end $$;
