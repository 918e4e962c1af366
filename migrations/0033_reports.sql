-- no-transaction
-- Whose manager a row is.
create index concurrently if not exists system_user_manager on rollcall.system_user (environment, parentsystemuserid)
    where parentsystemuserid is not null;
