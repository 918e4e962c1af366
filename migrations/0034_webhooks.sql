-- Webhooks: how far each configured receiver has been told of the change feed, and the lines that it still misses.
create table rollcall.webhook (
    name text primary key,
    position bigint not null,            -- every line up to here is delivered, not wanted, or in webhook_waiting
    failures integer not null default 0, -- attempts that have failed since the last success
    paused_until timestamptz,
    delivered_at timestamptz,
    failed_at timestamptz,
    failure text                         -- why the last attempt failed, without a value of anybody
);

-- Lines that were not delivered at the first attempt, and later lines of the same rows.
create table rollcall.webhook_waiting (
    webhook text not null references rollcall.webhook on delete cascade,
    position bigint not null,
    environment text not null,
    systemuserid uuid not null,
    attempts integer not null,
    waiting_since timestamptz not null,
    next_attempt_at timestamptz not null,
    is_dead boolean not null default false, -- given up; delivered if somebody replays it
    primary key (webhook, position)
);
create index webhook_waiting_position on rollcall.webhook_waiting (position);

-- As in 0025; lines that a webhook has not delivered stay.
create or replace function rollcall.purge(what text, older_than timestamptz, after bigint, at_most integer)
    returns table (deleted bigint, next bigint)
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    before timestamptz := least(older_than, clock_timestamp() -
        case what when 'changes' then interval '7 days' else interval '1 day' end);
    step integer := greatest(1, least(at_most, 10000));
    walked bigint;
    furthest bigint;
    is_over boolean;
begin
    if what = 'changes' then
        with part as (
            select f.position, f.environment, f.id, c.at
            from rollcall.change_feed f
            left join rollcall.system_user_change c on c.environment = f.environment and c.id = f.id
            where f.position > after order by f.position limit step),
        aged as (select * from part where at < before or at is null),
        old as (
            select * from aged
            where not exists (select from rollcall.webhook w where w.position < aged.position)
              and not exists (select from rollcall.webhook_waiting m where m.position = aged.position)),
        lines as (
            delete from rollcall.system_user_change c using old where c.environment = old.environment and c.id = old.id),
        places as (delete from rollcall.change_feed f using old where f.position = old.position)
        select (select count(*) from old), (select max(position) from old), count(*), max(part.position),
               not exists (select from aged)
        into deleted, furthest, walked, next, is_over from part;
        if deleted > 0 then
            update rollcall.change_feed_head set purged = furthest where purged < furthest;
        end if;
    elsif what = 'runs' then
        with part as (
            select r.id, r.started_at, r.ended_at from rollcall.sync_run r where r.id > after order by r.id limit step),
        old as (
            select p.id from part p
            where p.ended_at < before
              and p.id < (select max(r.id) from rollcall.sync_run r)
              and p.id is distinct from (
                  select r.id from rollcall.sync_run r
                  where r.outcome in ('complete', 'held') and not r.dry_run order by r.id desc limit 1)
              and not exists (select from rollcall.held_set h where h.run_id = p.id and h.decision is null)
              and not exists (select from rollcall.removal m where m.run_id = p.id)
              and not exists (select from rollcall.planned_change c where c.run_id = p.id)),
        sets as (delete from rollcall.held_set h using old where h.run_id = old.id),
        runs as (delete from rollcall.sync_run r using old where r.id = old.id)
        select (select count(*) from old), count(*), max(part.id), min(part.started_at) >= before
        into deleted, walked, next, is_over from part;
    elsif what = 'findings' then
        with part as (
            select f.id, f.opened_at, f.closed_at from rollcall.finding f where f.id > after order by f.id limit step),
        old as (select part.id from part where part.closed_at < before),
        findings as (delete from rollcall.finding f using old where f.id = old.id)
        select (select count(*) from old), count(*), max(part.id), min(part.opened_at) >= before
        into deleted, walked, next, is_over from part;
    else
        raise exception 'there is no history called %', what using errcode = 'invalid_parameter_value';
    end if;
    if walked < step or is_over then
        next := null;
    end if;
    return next;
end $$;
