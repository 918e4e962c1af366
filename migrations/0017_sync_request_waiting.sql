-- no-transaction
-- The leader looks for requests each second.
create index concurrently if not exists sync_request_waiting on rollcall.sync_request (id) where run_id is null;
