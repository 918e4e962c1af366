-- Roles, granted and taken. The quotas were made from the rows of the first version.
insert into rollcall.system_user_role values
    ('production', '00000000-0000-0000-0001-0000000000ad', 'Basic User', 'license', '2026-02-01', 'sync', '2026-02-02', 'ada'),
    ('production', '00000000-0000-0000-0001-0000000000ad', 'System Administrator', 'manual', '2026-02-01', 'ada', null, null);
