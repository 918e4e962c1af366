-- no-transaction
-- The leader counts held rows each second.
create index concurrently if not exists removal_held on rollcall.removal (environment) where state = 'held';
