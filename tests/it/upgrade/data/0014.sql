-- A dry run's change, and a run in progress.
insert into rollcall.planned_change (
    run_id, environment, who, systemuserid, azureactivedirectoryobjectid, domainname, operation, role, reason, held, fields)
values (1, 'annex', '00000000-0000-0000-0000-0000000000de', '00000000-0000-0000-0000-0000000000df',
    '00000000-0000-0000-0000-0000000000de', 'dee@contoso.com', 'grant', 'Basic User', 'security_group', false, '{}');
insert into rollcall.run_progress (run_id, phase, environment, done, total, began_at, at)
values (1, 'evaluating', 'annex', 10, 20, '2026-02-01', '2026-02-02');
