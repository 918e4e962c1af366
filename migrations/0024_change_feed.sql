-- The change feed: the lines of the change log in one order that never changes. A line that commits late has a smaller
-- id than lines that a reader has seen, so the program gives each committed line the next position.

-- Lines that have no position yet, written by the transaction that writes the line.
create table rollcall.change_new (
    environment text not null,
    id bigint not null,
    primary key (environment, id)
);

create table rollcall.change_feed (
    position bigint primary key,
    environment text not null,
    id bigint not null
);

-- The last position, and the last that retention has deleted. Whoever gives positions locks this row.
create table rollcall.change_feed_head (
    only_one boolean primary key default true check (only_one),
    position bigint not null default 0,
    purged bigint not null default 0,
    earlier_after bigint not null default 0, -- lines from before this table, up to this id, have positions
    earlier_until bigint not null            -- the last line from before this table
);

create function rollcall.enter_feed() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if tg_table_schema <> 'rollcall' or tg_table_name !~ '^system_user_change(_[0-9]+)?$' then
        raise exception 'this trigger is for rollcall.system_user_change alone' using errcode = 'insufficient_privilege';
    end if;
    insert into rollcall.change_new select environment, id from written;
    return null;
end $$;
revoke all on function rollcall.enter_feed() from public;

-- From here on the transaction keeps writers out, so that the number that follows is that of the last earlier line.
create trigger c_feed after insert on rollcall.system_user_change referencing new table as written
    for each statement execute function rollcall.enter_feed();
insert into rollcall.change_feed_head (earlier_until)
select case when is_called then last_value else 0 end from rollcall.system_user_change_id_seq;
