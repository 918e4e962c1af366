-- Deletes history that is old enough: the next rows of a table by key, of which some are. Nobody gets rid of anything
-- younger than the floors, whatever time is given. Returns how many rows were deleted, and where the next call begins;
-- null if what follows is younger.
--
-- Kept whatever their age: lines of the change log that are not in the feed yet; open runs, the latest, and the last
-- success, on which readiness depends; runs of undecided sets and of removals; open findings.
create function rollcall.purge(what text, older_than timestamptz, after bigint, at_most integer)
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
        old as (select * from part where at < before or at is null),
        lines as (
            delete from rollcall.system_user_change c using old where c.environment = old.environment and c.id = old.id),
        places as (delete from rollcall.change_feed f using old where f.position = old.position)
        select (select count(*) from old), (select max(position) from old), count(*), max(part.position)
        into deleted, furthest, walked, next from part;
        is_over := deleted = 0;
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

-- At which time the directory was asked for something, roughly: numbers of rollcall.round with their times. They say how
-- long the mirror has known that a user is gone, or a membership over.
create table rollcall.moment_mark (
    moment bigint primary key,
    at timestamptz not null
);

revoke all on function rollcall.purge(text, timestamptz, bigint, integer) from public;
do $$
declare
    daemon name;
begin
    for daemon in
        select pg_get_userbyid(grantee) from pg_class, aclexplode(relacl)
        where oid = 'rollcall.lease'::regclass and privilege_type = 'INSERT' and grantee <> 0
    loop
        execute format('grant all on function rollcall.purge(text, timestamptz, bigint, integer) to %I', daemon);
    end loop;
end $$;
