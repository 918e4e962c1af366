-- no-transaction
-- Each cycle looks for what a crashed run has left; most removals are held or rejected.
create index concurrently if not exists removal_collected on rollcall.removal (environment) where state = 'collected';
