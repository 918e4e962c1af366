-- Import jobs in every state, and what became of their users.
insert into rollcall.import_job (
    environment, company, is_all, background, batch_group, is_private, is_critical, monitoring_category, description,
    schedule, scheduled_by, max_retries, submitted_by, submitted_at, state, outcome, attempts, next_attempt_at,
    next_run_at, started_at, ended_at, total, created, already_present, refused, error, walk_after, is_walked,
    cancelled_by, claimed_by, claim_expires_at, fence
) values
    ('annex', 'USMF', false, true, 'a', true, true, 'onboarding', 'the first', null, null, 3, 'ada', '2026-02-01',
     'ended', 'complete', 0, null, null, '2026-02-01', '2026-02-01', 2, 1, 1, 0, null, null, true, null, null, null, 1),
    ('annex', 'USMF', true, true, null, false, false, 'undefined', null, '0 2 * * 1-5', null, 3, 'ada', '2026-02-01',
     'waiting', null, 0, null, '2026-02-03', null, null, 0, 0, 0, 0, null, null, false, null, null, null, 0),
    ('annex', 'USMF', true, true, 'a', false, false, 'undefined', null, null, 2, 3, 'ada', '2026-02-01', 'running', null,
     2, '2026-02-01', null, '2026-02-01', null, 5, 1, 0, 1, 'the directory is away',
     '00000000-0000-0000-0000-0000000000ad', false, 'ada', 'old:1', '2026-02-01', 4);
insert into rollcall.import_item values
    (1, 1, 'ada.lovelace@contoso.example', '00000000-0000-0000-0000-0000000000ad', 'already_present', null, null,
     '00000000-0000-0000-0001-0000000000ad'),
    (3, 1, 'nobody@contoso.example', null, 'refused', 'user_not_found', 'no such user', null),
    (3, 2, '00000000-0000-0000-0000-0000000000de', null, 'waiting', null, null, null);
