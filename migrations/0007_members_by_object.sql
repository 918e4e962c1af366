-- no-transaction: the groups of one user are looked for.
create index concurrently if not exists directory_group_member_object on rollcall.directory_group_member (object_id);
