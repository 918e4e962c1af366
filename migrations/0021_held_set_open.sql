-- no-transaction
-- Each cycle looks for open sets; most sets are decided.
create index concurrently if not exists held_set_open on rollcall.held_set (environment, run_id) where decision is null;
