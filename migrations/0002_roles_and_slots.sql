-- Security roles, and the cap of non-interactive users held by the database itself.

-- Who holds which security role, and where it comes from. One role may come from several sides; removing one leaves
-- the others.
create table rollcall.system_user_role (
    environment text not null,
    systemuserid uuid not null,
    role text not null check (role <> ''),
    provenance text not null default 'manual' check (provenance in ('license', 'default', 'import', 'manual')),
    granted_at timestamptz not null default now(),
    granted_by text not null default session_user,
    revoked_at timestamptz,  -- a role of a licence that a person took away: it does not come back with that licence
    revoked_by text,
    primary key (environment, systemuserid, role, provenance),
    foreign key (environment, systemuserid) references rollcall.system_user on delete cascade
);
create index system_user_role_holders on rollcall.system_user_role (environment, role) where revoked_at is null;

-- One line per environment: how many non-interactive users may be enabled, and how many are. Whoever counts on
-- something of the whole environment (a free slot, another System Administrator) locks this line after its rows.
create table rollcall.environment_quota (
    environment text primary key,
    non_interactive_cap integer not null default 7 check (non_interactive_cap >= 0),
    non_interactive_taken integer not null default 0 check (non_interactive_taken >= 0)
);
insert into rollcall.environment_quota (environment, non_interactive_taken)
select environment, count(*) from rollcall.system_user
where accessmode = 4 and not isdisabled and applicationid is null
group by environment;

-- Counts slots for every writer, this program and others; the row that would be one too many is refused.
create function rollcall.keep_non_interactive_cap() returns trigger
    language plpgsql security definer set search_path = pg_catalog as $$
declare
    took boolean := tg_op <> 'INSERT' and old.accessmode = 4 and not old.isdisabled and old.applicationid is null;
    takes boolean := tg_op <> 'DELETE' and new.accessmode = 4 and not new.isdisabled and new.applicationid is null;
begin
    if took and not takes then
        update rollcall.environment_quota set non_interactive_taken = non_interactive_taken - 1
        where environment = old.environment;
    elsif takes and not took then
        insert into rollcall.environment_quota (environment) values (new.environment) on conflict do nothing;
        update rollcall.environment_quota set non_interactive_taken = non_interactive_taken + 1
        where environment = new.environment and non_interactive_taken < non_interactive_cap;
        if not found then
            raise exception 'environment % has as many enabled non-interactive users as it may have', new.environment
                using errcode = 'check_violation', constraint = 'system_user_non_interactive_cap',
                      hint = 'Disable another non-interactive user first.';
        end if;
    end if;
    return null;
end $$;

create trigger c_cap_of_new after insert on rollcall.system_user for each row
    when (new.accessmode = 4 and not new.isdisabled and new.applicationid is null)
    execute function rollcall.keep_non_interactive_cap();
create trigger c_cap_of_changed after update on rollcall.system_user for each row
    when ((old.accessmode = 4 and not old.isdisabled and old.applicationid is null)
          <> (new.accessmode = 4 and not new.isdisabled and new.applicationid is null))
    execute function rollcall.keep_non_interactive_cap();
create trigger c_cap_of_deleted after delete on rollcall.system_user for each row
    when (old.accessmode = 4 and not old.isdisabled and old.applicationid is null)
    execute function rollcall.keep_non_interactive_cap();

-- Writes one column that a customer has added; the caller has made sure that it is one.
create function rollcall.set_custom_column(of_environment text, of_row uuid, custom text, given jsonb) returns void
    language plpgsql set search_path = pg_catalog as $$
begin
    execute format(
        'update rollcall.system_user s set %1$I = given.%1$I
         from jsonb_populate_record(null::rollcall.system_user, jsonb_build_object(%2$L, $3)) as given
         where s.environment = $1 and s.systemuserid = $2', custom, custom)
    using of_environment, of_row, given;
end $$;
