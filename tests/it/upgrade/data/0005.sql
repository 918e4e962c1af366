-- An environment that was taken leave of, one that was doubted, a run that found one left over, and a daemon.
update rollcall.environment set kind = 'production', closed_at = '2026-02-01' where name = 'production';
update rollcall.sync_run set left_over = '[{"environment": "annex", "enabled": 1, "held": 0}]';
insert into rollcall.environment_doubt values
    ('production', 'group:00000000-0000-0000-0000-000000000096', 'lists half of what it did');
insert into rollcall.serving values ('production', 'elsewhere:1:0', '2026-02-01');
