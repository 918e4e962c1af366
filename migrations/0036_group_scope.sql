-- The mirror in group scope (rules.md, section 1, "Scope"). Both tables hold ids alone.

-- Users who are soft-deleted and not in the mirror: a group's feed does not tell of their return, so their groups are
-- asked for when they return. Lines are deleted after 30 days, when a user can no longer be restored.
create table rollcall.directory_deleted (
    object_id uuid primary key,
    noted_at timestamptz not null
);

-- Users who were looked up on demand, and until when the mirror keeps them for that alone.
create table rollcall.directory_guest (
    object_id uuid primary key,
    until timestamptz not null
);
