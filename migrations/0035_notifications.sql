-- Change notifications of Microsoft Graph: the subscription, and whether one has come that no run has followed.
create table rollcall.subscription (
    resource text primary key,
    id uuid,                    -- null while it is being created, and when the directory has lost it
    url text not null,
    secret_hash bytea not null, -- SHA-256 of its clientState
    pending_until timestamptz,  -- until then the handshake is answered
    renew_at timestamptz,
    expires_at timestamptz
);

create table rollcall.notification_hint (
    only_one boolean primary key default true check (only_one),
    at timestamptz not null
);
