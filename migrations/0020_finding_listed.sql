-- no-transaction
-- Open findings are listed and counted; most findings are closed.
create index concurrently if not exists finding_listed on rollcall.finding (id) where closed_at is null;
