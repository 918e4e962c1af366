-- no-transaction
-- The changes of one run, page by page.
create index concurrently if not exists system_user_change_run on rollcall.system_user_change (run_id, id) where run_id is not null;
