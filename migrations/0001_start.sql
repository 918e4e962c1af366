-- Everything lives in schema rollcall. The program makes it first, because the record of migrations lives there too.
-- Keys of per-environment tables start with environment, so that an installation can distribute them by it.
do $$
begin
    if to_regnamespace('rollcall') is null then
        create schema rollcall;
    end if;
end $$;

-- The mirror -------------------------------------------------------------------------------------------------

-- Few users have a set of plans of their own, so the set is kept once. The id is a hash of the sorted plan ids.
create table rollcall.plan_set (
    id uuid primary key,
    plans uuid[] not null
);

create table rollcall.directory_user (
    id uuid primary key,
    state smallint not null default 0 check (state between 0 and 2), -- 0 present, 1 soft-deleted, 2 gone
    deleted_at timestamptz,
    account_enabled boolean,                                         -- null: the application may not read it
    is_agent boolean not null default false,
    plan_set uuid not null,                                          -- usable plans
    nul_removed integer not null default 0,
    user_principal_name text,
    upn_key text,                                                    -- lower-cased
    display_name text,
    given_name text,
    surname text,
    job_title text,
    mail text,
    business_phone text,
    mobile_phone text,
    street_address text,
    city text,
    state_or_province text,
    postal_code text,
    country text,
    seen_round bigint not null default 0                             -- the last full round that listed the user
);
create index directory_user_upn_key on rollcall.directory_user (upn_key);

create table rollcall.directory_group_member (
    group_id uuid not null,
    object_id uuid not null,
    is_group boolean not null default false,
    is_member boolean not null default false,
    is_owner boolean not null default false,
    seen_round bigint not null default 0,
    primary key (group_id, object_id)
);

create index directory_group_owner on rollcall.directory_group_member (group_id, object_id) where is_owner;

-- Users who came back from deletedItems. They keep their memberships, but listings left them out while they were
-- deleted, and no feed of a group tells of them: their groups are asked for once.
create table rollcall.directory_returned (
    object_id uuid primary key
);

-- Who holds an administrator role now, directly or through a role-assignable group.
create table rollcall.directory_role_member (
    object_id uuid primary key,
    global boolean not null,
    power_platform boolean not null,
    dynamics_365 boolean not null
);

create sequence rollcall.round;

-- One line per source of the directory: users, group:<id>, roles, skus.
create table rollcall.checkpoint (
    source text primary key,
    phase text not null check (phase in ('full', 'sweep', 'delta')),
    round bigint not null,
    next_link text,
    delta_link text,
    delta_since timestamptz,     -- when the delta link was received
    fingerprint text not null default '',
    readable boolean not null default true,
    doubt text,                  -- why what this source removed is no evidence by itself
    value jsonb,
    reached_at timestamptz       -- when the source last came to the end of what there was to read
);

-- Judging ----------------------------------------------------------------------------------------------------

create table rollcall.environment (
    name text primary key,
    fingerprint text not null,
    until_edited text[] not null,
    epoch bigint not null default 1,         -- "judge everyone" is one step of this
    judged_epoch bigint not null default 0,
    walk_epoch bigint not null default 0,
    walk_after uuid,
    judged_at timestamptz,                   -- when everyone was last judged
    is_set_up boolean not null default false,
    enabled_rows bigint not null default 0,  -- with an object id; see enabled_delta
    bound_rows bigint not null default 0     -- all rows with an object id
);

-- Changes of environment.enabled_rows and bound_rows, added up at the start of each run: counters nobody waits for.
create table rollcall.enabled_delta (
    environment text not null,
    delta bigint not null,
    bound bigint not null default 0
);

create sequence rollcall.pending_version;

-- Users to judge again. A line goes when its user has been judged at that version.
create table rollcall.pending (
    environment text not null,
    object_id uuid not null,
    version bigint not null default nextval('rollcall.pending_version'),
    primary key (environment, object_id)
);

-- The product ------------------------------------------------------------------------------------------------

create table rollcall.system_user (
    environment text not null,
    systemuserid uuid not null,
    azureactivedirectoryobjectid uuid,
    applicationid uuid,
    domainname varchar(1024),
    fullname varchar(200),
    firstname varchar(256),
    lastname varchar(256),
    jobtitle varchar(128),
    internalemailaddress varchar(100),
    address1_telephone1 varchar(64),
    mobilephone varchar(64),
    address1_line1 varchar(1024),
    address1_city varchar(128),
    address1_stateorprovince varchar(128),
    address1_postalcode varchar(40),
    address1_country varchar(128),
    accessmode smallint not null default 0 check (accessmode between 0 and 5),
    accessmode_origin text not null default 'sync' check (accessmode_origin in ('sync', 'customer')),
    isdisabled boolean not null default false,
    disabledreason text,
    disabled_by text,
    islicensed boolean not null default false,
    issyncwithdirectory boolean not null default false,
    setupuser boolean not null default false,
    azurestate smallint not null default 0 check (azurestate between 0 and 2),
    azuredeletedon timestamptz,
    deletedstate smallint not null default 0 check (deletedstate in (0, 1)),
    isstub boolean not null default false,
    company text,
    onhold boolean not null default false,
    holdreason text,
    createdon timestamptz not null default now(),
    createdby text not null default session_user,
    modifiedon timestamptz not null default now(),
    modifiedby text not null default session_user,
    customer_owned text[] not null default '{}', -- columns edited by hand under the policy until_edited
    last_entitlement text,
    due_at timestamptz,
    upn_key text,                                -- the lower-cased domainname of a live row, else null
    primary key (environment, systemuserid),
    constraint system_user_object_id unique (environment, azureactivedirectoryobjectid),
    constraint system_user_upn_key unique (environment, upn_key)
);
create unique index system_user_applicationid on rollcall.system_user (environment, applicationid)
    where deletedstate = 0;
create index system_user_due on rollcall.system_user (environment, due_at) where due_at is not null;
create index system_user_waiting_for_slot on rollcall.system_user (environment)
    where disabledreason = 'non_interactive_cap';
create index system_user_non_interactive on rollcall.system_user (environment)
    where accessmode = 4 and not isdisabled and applicationid is null;

create table rollcall.system_user_change (
    environment text not null,
    id bigint generated always as identity,
    at timestamptz not null,
    run_id bigint,
    actor text not null,
    systemuserid uuid not null,
    operation text not null,
    reason text,
    by_rule boolean not null default false,  -- a disable that the guard counts
    fields jsonb not null default '{}',      -- column -> [old, new]
    primary key (environment, id)
);
create index system_user_change_row on rollcall.system_user_change (environment, systemuserid, id);
create index system_user_change_disables on rollcall.system_user_change (environment, at)
    where by_rule and operation = 'disable';

create table rollcall.finding (
    id bigint generated always as identity primary key,
    code text not null,
    environment text,
    azureactivedirectoryobjectid uuid,
    subject text not null default '',        -- what it is about beside the user: a source, a blocked name
    detail text not null,
    run_id bigint,
    opened_at timestamptz not null,
    closed_at timestamptz
);
create unique index finding_open on rollcall.finding (
    code, coalesce(environment, ''),
    coalesce(azureactivedirectoryobjectid, '00000000-0000-0000-0000-000000000000'::uuid), subject, detail
) where closed_at is null;
create index finding_by_user on rollcall.finding (environment, azureactivedirectoryobjectid) where closed_at is null;

-- Runs, the guard, leadership --------------------------------------------------------------------------------

create table rollcall.sync_run (
    id bigint generated always as identity primary key,
    trigger text not null,
    dry_run boolean not null default false,
    environments text[] not null default '{}',
    started_at timestamptz not null,
    ended_at timestamptz,
    outcome text check (outcome in ('complete', 'incomplete', 'held', 'failed')),
    counts jsonb not null default '{}',
    changes jsonb,               -- what would change; dry runs only
    problems text[] not null default '{}'
);

-- Rows that a rule wants to disable and that are still enabled.
create table rollcall.removal (
    environment text not null,
    systemuserid uuid not null,
    object_id uuid not null,
    reason text not null,
    run_id bigint not null,
    state text not null check (state in ('collected', 'held', 'rejected')),
    at timestamptz not null,
    primary key (environment, systemuserid)
);
create index removal_run on rollcall.removal (run_id, state);

-- One held set: the removals of one environment in one run, waiting for a person.
create table rollcall.held_set (
    environment text not null,
    run_id bigint not null,
    why text not null,
    held_at timestamptz not null,
    expires_at timestamptz not null,
    decision text check (decision in ('approved', 'rejected', 'expired', 'changed_back')),
    decided_at timestamptz,
    decided_by text,
    primary key (environment, run_id)
);

-- Who leads. fence grows with every change of leader; each transaction of a cycle checks it.
create table rollcall.lease (
    name text primary key,
    holder text not null,
    fence bigint not null,
    is_daemon boolean not null,
    expires_at timestamptz not null
);

-- `sync` asks a leading daemon for a run.
create table rollcall.sync_request (
    id bigint generated always as identity primary key,
    environments text[] not null,
    is_full boolean not null,
    dry_run boolean not null,
    requested_at timestamptz not null,
    run_id bigint
);

-- Writes by other programs -----------------------------------------------------------------------------------
-- rollcall marks its own transactions with the setting rollcall.writer. Everything else is an edit by a person
-- or another program: it is logged, it takes ownership, and the row is judged again in the next cycle.

create function rollcall.take_ownership() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if not tg_argv[0] = any (new.customer_owned) and exists (
        select from rollcall.environment
        where name = new.environment and tg_argv[0] = any (until_edited)
    ) then
        new.customer_owned := new.customer_owned || tg_argv[0];
    end if;
    return new;
end $$;

create function rollcall.take_access_mode() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
begin
    if new.accessmode_origin is not distinct from old.accessmode_origin then
        new.accessmode_origin := 'customer';
    end if;
    return new;
end $$;

create function rollcall.note_foreign_write() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    before jsonb := '{}';
    changed jsonb;
    delta bigint := 0;
    bound bigint := 0;
begin
    if tg_op <> 'INSERT' then
        if tg_op = 'UPDATE' and new is not distinct from old then
            return new;
        end if;
        before := to_jsonb(old);
        delta := -(not old.isdisabled and old.azureactivedirectoryobjectid is not null)::int;
        bound := -(old.azureactivedirectoryobjectid is not null)::int;
    end if;
    if tg_op <> 'DELETE' then
        -- A hold disables the row at once, whoever sets it.
        if new.onhold and not new.isdisabled then
            new.isdisabled := true;
            new.disabledreason := 'on_hold';
        end if;
        if new.isdisabled and (tg_op = 'INSERT' or not old.isdisabled) then
            new.disabled_by := coalesce(new.disabled_by, session_user);
            new.disabledreason := coalesce(new.disabledreason, 'disabled_by_hand');
        elsif tg_op = 'UPDATE' and not new.isdisabled and old.isdisabled then
            new.disabled_by := null;
            new.disabledreason := null;
        end if;
        new.upn_key := case when new.azurestate = 0 and new.deletedstate = 0 then lower(new.domainname) end;
        if tg_op = 'UPDATE' then
            new.modifiedon := now();
            new.modifiedby := session_user;
        end if;
        delta := delta + (not new.isdisabled and new.azureactivedirectoryobjectid is not null)::int;
        bound := bound + (new.azureactivedirectoryobjectid is not null)::int;
    end if;
    if delta <> 0 or bound <> 0 then
        insert into rollcall.enabled_delta values (coalesce(new.environment, old.environment), delta, bound);
    end if;
    select coalesce(jsonb_object_agg(key, jsonb_build_array(before -> key, value)), '{}') into changed
    from jsonb_each(case when tg_op = 'DELETE' then '{}' else to_jsonb(new) end)
    where value is distinct from coalesce(before -> key, 'null')
      and key not in ('environment', 'systemuserid', 'upn_key', 'modifiedon', 'modifiedby', 'createdon', 'createdby');
    insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation, fields)
    values (
        coalesce(new.environment, old.environment), now(), session_user,
        coalesce(new.systemuserid, old.systemuserid),
        case when tg_op = 'INSERT' then 'create' when tg_op = 'DELETE' then 'delete'
             when new.isdisabled and not old.isdisabled then 'disable'
             when old.isdisabled and not new.isdisabled then 'enable' else 'edit' end,
        changed);
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
            'create trigger a_own_%1$s before update of %1$I on rollcall.system_user for each row
             when (coalesce(current_setting(''rollcall.writer'', true), '''') = '''')
             execute function rollcall.take_ownership(%1$L)', field);
    end loop;
end $$;

create trigger b_access_mode before update of accessmode on rollcall.system_user for each row
    when (coalesce(current_setting('rollcall.writer', true), '') = '')
    execute function rollcall.take_access_mode();

create trigger z_foreign_write before insert or update or delete on rollcall.system_user for each row
    when (coalesce(current_setting('rollcall.writer', true), '') = '')
    execute function rollcall.note_foreign_write();
