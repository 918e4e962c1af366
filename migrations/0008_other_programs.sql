-- Other programs at the tables: what they write is seen and cannot pass for the sync's; what is evidence stays; names are
-- folded by the program alone.

-- Which tenant the schema belongs to, written by the first program that is configured for one.
create table rollcall.installation (
    is_only boolean primary key default true check (is_only),
    tenant uuid not null,
    recorded_at timestamptz not null
);

-- Names that another program wrote, until the program has folded them; those that somebody else holds stay.
create table rollcall.name_to_fold (
    environment text not null,
    systemuserid uuid not null,
    primary key (environment, systemuserid)
);

-- The folded domainname of a row that does not hold it: the row is not live, or another has the name.
alter table rollcall.system_user add column unheld_upn_key text;
-- The folding by which the environment's names were last gone through; 0 before any.
alter table rollcall.environment add column folding smallint not null default 0;
-- For readers who poll: all lines of transactions below pg_snapshot_xmin(pg_current_snapshot()) are there to see.
alter table rollcall.system_user_change add column xact xid8;
alter table rollcall.system_user_change alter column xact set default pg_current_xact_id();
-- Under a publication for all tables, nothing could be deleted from a table without a key.
alter table rollcall.enabled_delta replica identity full;

-- Whoever may call this passes for the sync where the mark is set; the mark alone is a setting that anybody may make.
create function rollcall.write_as_sync() returns text
    language sql set search_path = pg_catalog, pg_temp as $$
    select set_config('rollcall.writer', 'rollcall', true)
$$;

-- Change lines of a row never go back in time; nor does anybody back-date one who may not delete it either.
create function rollcall.keep_time_forward() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if not has_table_privilege('rollcall.system_user_change'::regclass, 'DELETE') then
        new.at := greatest(new.at, clock_timestamp());
    end if;
    if new.operation <> 'create' then
        new.at := greatest(new.at, (
            select at from rollcall.system_user_change
            where environment = new.environment and systemuserid = new.systemuserid order by id desc limit 1));
    end if;
    return new;
end $$;

create trigger a_time before insert on rollcall.system_user_change for each row
    when (new.operation <> 'create' or not has_table_privilege('rollcall.system_user_change'::regclass, 'DELETE'))
    execute function rollcall.keep_time_forward();

create or replace function rollcall.take_ownership() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_schema <> 'rollcall' or tg_table_name !~ '^system_user(_[0-9]+)?$' then
        raise exception 'this trigger is for rollcall.system_user alone' using errcode = 'insufficient_privilege';
    end if;
    if not tg_argv[0] = any (new.customer_owned) and exists (
        select from rollcall.environment
        where name = new.environment and tg_argv[0] = any (until_edited)
    ) then
        new.customer_owned := new.customer_owned || tg_argv[0];
    end if;
    return new;
end $$;

create or replace function rollcall.take_access_mode() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_schema <> 'rollcall' or tg_table_name !~ '^system_user(_[0-9]+)?$' then
        raise exception 'this trigger is for rollcall.system_user alone' using errcode = 'insufficient_privilege';
    end if;
    if new.accessmode_origin is not distinct from old.accessmode_origin then
        new.accessmode_origin := 'customer';
    end if;
    return new;
end $$;

-- What another program may not decide about a row is taken back at once, and its line says so: [what it wrote, what
-- stands].
create or replace function rollcall.note_foreign_write() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    moment timestamptz := clock_timestamp();
    before jsonb := '{}';
    written jsonb := '{}';
    stands jsonb := '{}';
    logged jsonb;
    why text;
    is_placeholder boolean;
    delta bigint := 0;
    bound bigint := 0;
begin
    -- On Citus the table is made of shards.
    if tg_table_schema <> 'rollcall' or tg_table_name !~ '^system_user(_[0-9]+)?$' then
        raise exception 'this trigger is for rollcall.system_user alone' using errcode = 'insufficient_privilege';
    end if;
    if tg_op <> 'INSERT' then
        if tg_op = 'UPDATE' and new is not distinct from old then
            return new;
        end if;
        before := to_jsonb(old);
        moment := greatest(moment, old.modifiedon);
        delta := -(not old.isdisabled and old.azureactivedirectoryobjectid is not null)::int;
        bound := -(old.azureactivedirectoryobjectid is not null)::int;
    end if;
    if tg_op <> 'DELETE' then
        written := to_jsonb(new);
        if tg_op = 'UPDATE' then
            -- Who a row is, and what kind of row, is decided once; a deleted row never comes back.
            new.environment := old.environment;
            new.systemuserid := old.systemuserid;
            new.applicationid := old.applicationid;
            new.deletedstate := greatest(new.deletedstate, old.deletedstate);
            is_placeholder := old.azureactivedirectoryobjectid is null and old.applicationid is null
                and coalesce(old.upn_key in ('crmoln@microsoft.com', 'crmoln2@microsoft.com'), false);
            if old.isstub or old.azureactivedirectoryobjectid is not null or is_placeholder then
                new.isstub := old.isstub;
                new.azureactivedirectoryobjectid := old.azureactivedirectoryobjectid;
            end if;
            if is_placeholder then
                new.domainname := old.domainname;
                new.accessmode := old.accessmode;
            end if;
            if old.isdisabled and new.disabled_by = 'sync' then
                new.disabled_by := old.disabled_by;
            end if;
        end if;
        why := case when new.onhold then 'on_hold' when new.isstub then 'stub_user' end;
        if why is not null and not new.isdisabled then
            new.isdisabled := true;
            new.disabledreason := why;
            new.disabled_by := null;
            if tg_op = 'UPDATE' and old.isdisabled then
                new.disabledreason := old.disabledreason;
                new.disabled_by := old.disabled_by;
            end if;
        else
            why := null;
        end if;
        if new.isdisabled and (tg_op = 'INSERT' or not old.isdisabled) then
            new.disabled_by := coalesce(nullif(new.disabled_by, 'sync'), session_user);
            new.disabledreason := coalesce(new.disabledreason, 'disabled_by_hand');
        elsif tg_op = 'UPDATE' and not new.isdisabled and old.isdisabled then
            new.disabled_by := null;
            new.disabledreason := null;
        end if;
        -- A name that stays keeps its key. Any other gets one when the program has folded it.
        if tg_op = 'UPDATE' and new.domainname is not distinct from old.domainname
           and (new.azurestate = 0 and new.deletedstate = 0) = (old.azurestate = 0 and old.deletedstate = 0) then
            new.upn_key := old.upn_key;
            new.unheld_upn_key := old.unheld_upn_key;
        else
            new.upn_key := null;
            new.unheld_upn_key := null;
            if new.domainname is not null then
                insert into rollcall.name_to_fold values (new.environment, new.systemuserid) on conflict do nothing;
            end if;
        end if;
        if tg_op = 'UPDATE' and new is not distinct from old and why is null
           and written - '{upn_key,unheld_upn_key,modifiedon,modifiedby}'::text[]
               = before - '{upn_key,unheld_upn_key,modifiedon,modifiedby}'::text[] then
            return new;
        end if;
        new.modifiedon := moment;
        new.modifiedby := session_user;
        stands := to_jsonb(new);
        delta := delta + (not new.isdisabled and new.azureactivedirectoryobjectid is not null)::int;
        bound := bound + (new.azureactivedirectoryobjectid is not null)::int;
    end if;
    if delta <> 0 or bound <> 0 then
        insert into rollcall.enabled_delta values (coalesce(new.environment, old.environment), delta, bound);
    end if;
    select coalesce(jsonb_object_agg(key, jsonb_build_array(
        case when value is distinct from coalesce(before -> key, 'null') then before -> key else written -> key end,
        value)), '{}') into logged
    from jsonb_each(stands)
    where (value is distinct from coalesce(before -> key, 'null') or value is distinct from written -> key)
      and key not in ('upn_key', 'unheld_upn_key', 'modifiedon', 'modifiedby', 'createdon', 'createdby')
      and (tg_op = 'UPDATE' or key not in ('environment', 'systemuserid'));
    insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation, reason, fields)
    values (
        coalesce(new.environment, old.environment), moment, session_user,
        coalesce(new.systemuserid, old.systemuserid),
        case when tg_op = 'INSERT' then 'create' when tg_op = 'DELETE' then 'delete'
             when new.isdisabled and (not old.isdisabled or why is not null) then 'disable'
             when old.isdisabled and not new.isdisabled then 'enable' else 'edit' end,
        why, logged);
    insert into rollcall.pending (environment, object_id)
    select coalesce(new.environment, old.environment), object_id
    from (
        select coalesce(new.azureactivedirectoryobjectid, old.azureactivedirectoryobjectid) as object_id
        union
        -- whoever waits for the name that this write may have freed
        select azureactivedirectoryobjectid from rollcall.finding
        where tg_op <> 'INSERT' and closed_at is null and code = 'upn_conflict'
          and environment = old.environment and subject = old.upn_key
    ) as touched
    where object_id is not null
    on conflict (environment, object_id) do update set version = excluded.version;
    return coalesce(new, old);
end $$;

-- The slots that are taken are counted where they are, not in a counter that somebody else may have written. The
-- quota's line makes whoever takes one wait for the others; the counter follows for older versions.
create or replace function rollcall.keep_non_interactive_cap() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    place text := case when tg_op = 'DELETE' then old.environment else new.environment end;
    taken integer;
    cap integer;
begin
    if tg_table_schema <> 'rollcall' or tg_table_name !~ '^system_user(_[0-9]+)?$' then
        raise exception 'this trigger is for rollcall.system_user alone' using errcode = 'insufficient_privilege';
    end if;
    insert into rollcall.environment_quota (environment) values (place) on conflict do nothing;
    select non_interactive_cap into cap from rollcall.environment_quota where environment = place for update;
    select count(*) into taken from rollcall.system_user
    where environment = place and accessmode = 4 and not isdisabled and applicationid is null;
    if tg_op <> 'DELETE' and new.accessmode = 4 and not new.isdisabled and new.applicationid is null and taken > cap then
        raise exception 'environment % has as many enabled non-interactive users as it may have', place
            using errcode = 'check_violation', constraint = 'system_user_non_interactive_cap',
                  hint = 'Disable another non-interactive user first.';
    end if;
    update rollcall.environment_quota set non_interactive_taken = taken where environment = place;
    return null;
end $$;

-- The mark counts only for whoever may pass for the sync.
do $$
declare
    field text;
begin
    foreach field in array array[
        'firstname', 'lastname', 'fullname', 'jobtitle', 'internalemailaddress', 'address1_telephone1',
        'mobilephone', 'address1_line1', 'address1_city', 'address1_stateorprovince', 'address1_postalcode',
        'address1_country'
    ] loop
        execute format(
            'create or replace trigger a_own_%1$s before update of %1$I on rollcall.system_user for each row
             when (coalesce(current_setting(''rollcall.writer'', true), '''') = ''''
                   or not has_function_privilege(''rollcall.write_as_sync()''::regprocedure, ''execute''))
             execute function rollcall.take_ownership(%1$L)', field);
    end loop;
end $$;

create or replace trigger b_access_mode before update of accessmode on rollcall.system_user for each row
    when (coalesce(current_setting('rollcall.writer', true), '') = ''
          or not has_function_privilege('rollcall.write_as_sync()'::regprocedure, 'execute'))
    execute function rollcall.take_access_mode();

create or replace trigger z_foreign_write before insert or update or delete on rollcall.system_user for each row
    when (coalesce(current_setting('rollcall.writer', true), '') = ''
          or not has_function_privilege('rollcall.write_as_sync()'::regprocedure, 'execute'))
    execute function rollcall.note_foreign_write();

-- History. The daemon's role adds to it; what it may change of it, it changes through these (deploy/database-roles.sql).

-- Runs that nobody ended: whoever led them has crashed.
create function rollcall.fail_open_runs(ended timestamptz) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update rollcall.sync_run set ended_at = greatest(ended, started_at), outcome = 'failed' where ended_at is null
$$;

create function rollcall.end_run(run bigint, ended timestamptz, came_to text, counted jsonb, stood_in_the_way text[])
    returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
    update rollcall.sync_run
    set ended_at = greatest(ended, started_at), outcome = came_to, counts = counted, problems = stood_in_the_way
    where id = run and ended_at is null
$$;

-- What a dry run would change.
create function rollcall.keep_planned(run bigint, planned jsonb) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update rollcall.sync_run set changes = planned where id = run and dry_run and ended_at is null
$$;

create function rollcall.hold_set(place text, run bigint, because text, held timestamptz, expires timestamptz)
    returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into rollcall.held_set as h (environment, run_id, why, held_at, expires_at)
    values (place, run, because, held, expires)
    on conflict (environment, run_id) do update set why = h.why || '; ' || excluded.why where h.decision is null
$$;

-- Decides a set that is open. One that a run has closed while it was carried out, since no row was left, bears the
-- decision all the same. Answers whether the set bears this decision now.
create function rollcall.decide_set(place text, run bigint, decided text, who text, moment timestamptz) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if decided not in ('approved', 'rejected') or who is null then
        raise exception 'a person approves or rejects a held set' using errcode = 'invalid_parameter_value';
    end if;
    update rollcall.held_set
    set decision = decided, decided_by = who, decided_at = greatest(moment, held_at)
    where environment = place and run_id = run and (
        decision is null or decision = 'changed_back'
        or decision = decided and decided_by = who and decided_at = greatest(moment, held_at));
    return found;
end $$;

-- Closes sets without a decision of anybody: expired ones, or those that have no row left.
create function rollcall.close_set(place text, run bigint, because text, moment timestamptz) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if because not in ('expired', 'changed_back') then
        raise exception 'a held set expires or changes back' using errcode = 'invalid_parameter_value';
    end if;
    update rollcall.held_set set decision = because, decided_at = greatest(moment, held_at)
    where environment = place and run_id = run and decision is null
      and (because = 'changed_back' or expires_at <= moment);
    return found;
end $$;

-- Somebody takes leave of an environment with what it holds.
create function rollcall.dissolve_sets(place text, who text, moment timestamptz) returns void
    language sql security definer set search_path = pg_catalog, pg_temp as $$
    update rollcall.held_set set decision = 'expired', decided_by = who, decided_at = greatest(moment, held_at)
    where environment = place and decision is null
$$;

-- Nobody calls a function of ours merely by being able to connect: a trigger function on a table of one's own would do
-- the owner's work. Whoever takes the lease by now is a daemon, and goes on working.
do $$
declare
    ours record;
    daemon record;
begin
    for ours in
        select proname as name, prorettype = 'trigger'::regtype as is_trigger from pg_proc
        where pronamespace = 'rollcall'::regnamespace
          and proowner = (select relowner from pg_class where oid = 'rollcall.system_user'::regclass)
    loop
        execute format('revoke all on function rollcall.%I from public', ours.name);
        for daemon in
            select pg_get_userbyid(grantee) as name from pg_class, aclexplode(relacl)
            where oid = 'rollcall.lease'::regclass and privilege_type = 'INSERT' and grantee <> 0 and not ours.is_trigger
        loop
            execute format('grant all on function rollcall.%I to %I', ours.name, daemon.name);
        end loop;
    end loop;
end $$;
