-- Environments that come and go (rules.md, section 11).

alter table rollcall.environment
    add column kind text,               -- as configured last
    add column closed_at timestamptz;   -- somebody has taken leave of it; null again as soon as it is configured

-- What a run found left over: [{"environment", "enabled", "held"}].
alter table rollcall.sync_run add column left_over jsonb not null default '[]';

-- The doubts about a source that an environment has not been judged by yet. A doubt is told to all of them as soon as
-- it comes up, and is void once the source is beyond doubt; checkpoint.suspicion says until when.
create table rollcall.environment_doubt (
    environment text not null,
    source text not null,
    why text not null,
    primary key (environment, source, why)
);

-- Which environments the running processes serve, until a time on the database's clock.
create table rollcall.serving (
    environment text not null,
    holder text not null,
    expires_at timestamptz not null,
    primary key (environment, holder)
);
