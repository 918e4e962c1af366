-- Names of both kinds of rows: one that another program wrote, one of a row that is not live; and whose schema it is.
set rollcall.writer = 'rollcall';
insert into rollcall.installation values (true, '00000000-0000-0000-0000-00000000007e', '2026-02-03');
insert into rollcall.name_to_fold values ('annex', '00000000-0000-0000-0001-0000000000f0');
update rollcall.system_user set unheld_upn_key = 'gone@contoso.example' where domainname = 'gone@contoso.example';
update rollcall.environment set folding = 1;
insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
values ('production', '2026-02-03', 'sync', '00000000-0000-0000-0001-000000000002', 'update');
