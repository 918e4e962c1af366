-- Pages of a feed: the moment at which each was asked for, and the moment at which it was stored. An answer about one
-- user that was asked for between the two may be older than the page or newer, so it is asked for again.
create table rollcall.directory_answer (
    asked bigint primary key,
    stored bigint not null default nextval('rollcall.round'),
    -- Lines are deleted after an hour: no look-up lasts as long.
    at timestamptz not null
);
create index directory_answer_stored on rollcall.directory_answer (stored);
