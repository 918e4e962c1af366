-- no-transaction
-- The last success is part of each answer about readiness.
create index concurrently if not exists sync_run_success on rollcall.sync_run (id) where outcome in ('complete', 'held') and not dry_run;
