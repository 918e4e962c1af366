-- Somebody is signed in.
insert into rollcall.console_session (
    secret_hash, is_invitation, actor, display_name, object_id, roles, signed_in_at, seen_at)
values ('\x00', false, 'user:ada', 'Ada', '00000000-0000-4000-8000-0000000000ad', '{Rollcall.Read}', '2026-02-01', '2026-02-01');
