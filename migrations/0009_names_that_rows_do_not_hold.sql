-- no-transaction
create index concurrently system_user_unheld_upn_key on rollcall.system_user (environment, unheld_upn_key)
    where unheld_upn_key is not null;
