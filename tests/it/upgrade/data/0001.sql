-- What a database of the first version may hold: something in every column, and everything that later versions treat
-- in a way of its own. Ada is in the simulated directory too.
set rollcall.writer = 'rollcall';

-- A customer's own column, with what customers do to columns.
alter table rollcall.system_user add column shoe_size integer check (shoe_size > 10);
create index customer_shoes on rollcall.system_user (shoe_size);

insert into rollcall.plan_set values ('00000000-0000-0000-0000-00000000000f', '{2da8e897-7791-486b-b08f-cc63c8129df7}');
insert into rollcall.directory_user values
    ('00000000-0000-0000-0000-0000000000ad', 0, null, true, false, '00000000-0000-0000-0000-00000000000f', 0,
     'ada.lovelace@contoso.example', 'ada.lovelace@contoso.example', 'Ada Lovelace', 'Ada', 'Lovelace', 'Countess',
     'ada.lovelace@contoso.example', '+44 1', '+44 2', '12 St James''s Square', 'London', 'London', 'SW1Y 4JH',
     'United Kingdom', 1),
    ('00000000-0000-0000-0000-0000000000de', 1, '2026-01-05', false, true, '00000000-0000-0000-0000-00000000000f', 1,
     'dora@contoso.example', 'dora@contoso.example', 'Dora', null, null, null, null, null, null, null, null, null, null,
     null, 1);
insert into rollcall.directory_group_member values
    ('00000000-0000-0000-0000-000000000096', '00000000-0000-0000-0000-0000000000ad', false, true, true, 1);
insert into rollcall.directory_returned values ('00000000-0000-0000-0000-0000000000ad');
insert into rollcall.directory_role_member values ('00000000-0000-0000-0000-0000000000ad', true, false, true);
insert into rollcall.checkpoint values
    ('group:00000000-0000-0000-0000-000000000096', 'delta', nextval('rollcall.round'), 'https://graph.example/next',
     'https://graph.example/delta', '2026-01-01', 'v1', false, 'was empty', '{"a": 1}', '2026-01-01');

insert into rollcall.environment values
    ('production', 'of the first version', '{internalemailaddress}', 2, 1, 1,
     '00000000-0000-0000-0000-0000000000ad', '2026-01-01', true, 2, 3);
insert into rollcall.enabled_delta values ('annex', 1, 1);
insert into rollcall.pending values ('production', '00000000-0000-0000-0000-0000000000ad', 7);

insert into rollcall.system_user (
    environment, systemuserid, azureactivedirectoryobjectid, domainname, fullname, firstname, lastname, jobtitle,
    internalemailaddress, address1_telephone1, mobilephone, address1_line1, address1_city, address1_stateorprovince,
    address1_postalcode, address1_country, islicensed, issyncwithdirectory, company, createdon, createdby, modifiedon,
    modifiedby, customer_owned, last_entitlement, due_at, upn_key, shoe_size
) values (
    'production', '00000000-0000-0000-0001-0000000000ad', '00000000-0000-0000-0000-0000000000ad',
    'ada.lovelace@contoso.example', 'Ada, Countess', 'Ada', 'Lovelace', 'Countess', 'ada@mail.example', '+44 1',
    '+44 2', '12 St James''s Square', 'London', 'London', 'SW1Y 4JH', 'United Kingdom', true, true, 'USMF',
    '2026-01-01', 'sync', '2026-01-02', 'ada', '{internalemailaddress}', 'app_pass', '2026-12-24',
    'ada.lovelace@contoso.example', 37
);
insert into rollcall.system_user (
    environment, systemuserid, azureactivedirectoryobjectid, applicationid, domainname, accessmode, accessmode_origin,
    isdisabled, disabledreason, disabled_by, setupuser, azurestate, azuredeletedon, deletedstate, isstub, onhold,
    holdreason, upn_key
) values
    ('production', '00000000-0000-0000-0001-000000000001', '00000000-0000-0000-0000-000000000001', null,
     'held@contoso.example', 0, 'sync', true, 'on_hold', 'ada', true, 0, null, 0, false, true, 'left in a hurry',
     'held@contoso.example'),
    ('production', '00000000-0000-0000-0001-000000000002', '00000000-0000-0000-0000-0000000000de', null,
     'dora@contoso.example', 1, 'customer', true, 'directory_soft_deleted', 'sync', false, 1, '2026-01-05', 0, false,
     false, null, null),
    ('production', '00000000-0000-0000-0001-000000000003', null, '00000000-0000-0000-0000-0000000000a4',
     null, 4, 'sync', false, null, null, false, 0, null, 0, false, false, null, null),
    ('production', '00000000-0000-0000-0001-000000000004', null, null,
     'stub@contoso.example', 0, 'sync', true, null, null, false, 0, null, 0, true, false, null, 'stub@contoso.example'),
    ('production', '00000000-0000-0000-0001-000000000005', '00000000-0000-0000-0000-000000000005', null,
     'gone@contoso.example', 0, 'sync', true, 'directory_deleted', 'sync', false, 2, null, 1, false, false, null, null);
-- More enabled non-interactive users than there may be now, and fewer.
insert into rollcall.system_user (environment, systemuserid, azureactivedirectoryobjectid, accessmode)
select 'crowded', gen_random_uuid(), gen_random_uuid(), 4 from generate_series(1, 8);
insert into rollcall.system_user (environment, systemuserid, azureactivedirectoryobjectid, accessmode)
select 'production', gen_random_uuid(), gen_random_uuid(), 4 from generate_series(1, 2);

insert into rollcall.sync_run (trigger, dry_run, environments, started_at, ended_at, outcome, counts, changes, problems)
values ('interval', true, '{production}', '2026-01-01', '2026-01-01', 'held', '{"a": 1}', '[1]', '{doubt}');
insert into rollcall.system_user_change (environment, at, run_id, actor, systemuserid, operation, reason, by_rule, fields)
values ('production', '2026-01-01', 1, 'sync', '00000000-0000-0000-0001-000000000002', 'disable',
        'directory_soft_deleted', true, '{"isdisabled": [false, true]}');
insert into rollcall.finding (code, environment, azureactivedirectoryobjectid, subject, detail, run_id, opened_at, closed_at)
values ('upn_conflict', 'production', '00000000-0000-0000-0000-0000000000de', 'dora@contoso.example', 'held', 1,
        '2026-01-01', null),
       ('source_unreadable', null, null, 'users', 'was away', 1, '2026-01-01', '2026-01-02');
insert into rollcall.removal values
    ('annex', gen_random_uuid(), gen_random_uuid(), 'unlicensed', 1, 'held', '2026-01-01');
insert into rollcall.held_set values
    ('annex', 1, 'too many', '2026-01-01', '2026-01-04', 'rejected', '2026-01-02', 'ada');
insert into rollcall.lease values ('cycle', 'old:1', 5, true, '2026-01-01');
insert into rollcall.sync_request (environments, is_full, dry_run, requested_at, run_id)
values ('{production}', true, true, '2026-01-01', 1);
