-- no-transaction
-- Whether a run is in progress is asked for with each request, and when a run begins.
create index concurrently if not exists sync_run_open on rollcall.sync_run (id) where ended_at is null;
