-- Import jobs (rules.md, section 9): a queue in plain tables, so that what became of a user commits together with the
-- row that was made for the user. Workers take jobs with FOR UPDATE SKIP LOCKED and hold them by a claim that runs out.

create table rollcall.import_job (
    id bigint generated always as identity primary key,
    environment text not null,
    company text not null check (company <> ''),           -- the default company of every row that the job makes
    is_all boolean not null,                               -- everybody without a row, instead of selected users
    background boolean not null default false,
    batch_group text check (batch_group <> ''),            -- jobs of one group run one after another
    is_private boolean not null default false,
    is_critical boolean not null default false,
    monitoring_category text not null default 'undefined' check (monitoring_category ~ '^[a-z0-9_-]{1,32}$'),
    description text,
    schedule text,                                         -- cron, in UTC: the job makes runs and does nothing itself
    scheduled_by bigint,                                   -- the job whose run this is
    max_retries smallint not null default 3 check (max_retries between 0 and 5),
    submitted_by text not null,
    submitted_at timestamptz not null,
    state text not null default 'waiting' check (state in ('waiting', 'running', 'ended', 'failed', 'cancelled')),
    outcome text check (outcome in ('complete', 'ended_with_refusals', 'failed', 'cancelled')),
    attempts smallint not null default 0,                  -- in a row that found the directory unavailable
    next_attempt_at timestamptz,
    next_run_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    total integer not null default 0,
    created integer not null default 0,
    already_present integer not null default 0,
    refused integer not null default 0,
    error text,
    walk_after uuid,                                       -- how far an import of everybody has come, by object id
    is_walked boolean not null default false,              -- and that it has come to the end
    cancelled_by text,                                     -- who wants it to stop; it does after the batch in hand
    claimed_by text,
    claim_expires_at timestamptz,                          -- on the database's clock
    fence bigint not null default 0                        -- grows with every claim; each batch checks it
);
create index import_job_open on rollcall.import_job (id) where state in ('waiting', 'running');
create index import_job_ended on rollcall.import_job (ended_at) where ended_at is not null;
create index import_job_runs on rollcall.import_job (scheduled_by) where scheduled_by is not null;
create unique index import_job_one_per_group on rollcall.import_job (batch_group)
    where state = 'running' and batch_group is not null;

create table rollcall.import_item (
    job bigint not null references rollcall.import_job on delete cascade,
    position bigint not null,
    given text not null,                                   -- the user as given; an import of everybody gives object ids
    object_id uuid,
    state text not null default 'waiting' check (state in ('waiting', 'created', 'already_present', 'refused')),
    code text,
    detail text,
    systemuserid uuid,
    primary key (job, position)
);
create index import_item_waiting on rollcall.import_item (job, position) where state = 'waiting';
