-- no-transaction
-- The users of a business unit, and those that have none yet.
create index concurrently if not exists system_user_unit on rollcall.system_user (environment, businessunitid);
