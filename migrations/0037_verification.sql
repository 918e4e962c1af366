-- Verification of the mirror: its sources are listed again and compared (rules.md, section 2, "Verification").

-- In what the listings of a verification in progress differ from the mirror, or whom they omit: ids alone. Look-ups confirm
-- them once the changes have been followed past the end of the listing.
create table rollcall.directory_difference (
    source text not null,
    object_id uuid not null,
    is_group boolean not null, -- the object is a group within a group
    asked bigint not null,
    primary key (source, object_id)
);

-- What a run's verification found.
create table rollcall.sync_run_verification (
    run_id bigint primary key references rollcall.sync_run on delete cascade,
    result jsonb not null
);

-- The recheck list: who is asked for again once more, a while after the next run; and not before when.
alter table rollcall.directory_recheck add column asks_twice boolean not null default false;
alter table rollcall.directory_recheck add column due_at timestamptz;

-- Whether a page told of changes: a look-up that contradicts it soon afterwards may come from a lagging replica.
alter table rollcall.directory_answer add column is_change boolean not null default false;
