-- A stub that went into a row.
update rollcall.system_user
set deletedstate = 1, upn_key = null, merged_into = '00000000-0000-0000-0001-000000000002'
where environment = 'production' and systemuserid = '00000000-0000-0000-0001-000000000004';
