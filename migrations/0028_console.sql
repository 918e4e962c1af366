-- Who is signed in to the console. Only the hash of a session's secret is kept.
create table rollcall.console_session (
    secret_hash bytea primary key,
    -- A one-time invitation to sign in, which opens a session when it is used.
    is_invitation boolean not null,
    actor text not null,
    display_name text not null,
    -- The person in the directory: a session ends when the directory blocks or deletes that person.
    object_id uuid,
    roles text[] not null,
    signed_in_at timestamptz not null,
    seen_at timestamptz not null
);
