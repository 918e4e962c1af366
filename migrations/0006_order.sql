-- The order of the directory's answers (rules.md, section 2, "Order"). A fact is as old as the moment at which it was asked for:
-- a number from the sequence rollcall.round, which numbered the full rounds so far and goes on doing so, since the number
-- of a round is the moment at which its first page was asked for. directory_user.seen_round and
-- directory_group_member.seen_round hold the moment of the user's record and of the membership; whoever has a smaller one
-- than a complete round was not seen since it began.

-- Sources that are only ever read whole: the owners of a group (owners:<id>), the administrators (roles).
create table rollcall.directory_reading (
    source text primary key,
    asked bigint not null
);
insert into rollcall.directory_reading values ('roles', 0);

-- Whoever was asked about by name, and when: everything that the directory said of its groups, and of its roles.
create table rollcall.directory_look_up (
    object_id uuid primary key,
    groups_asked bigint not null default 0,
    roles_asked bigint not null default 0
);
create index directory_look_up_roles_asked on rollcall.directory_look_up (roles_asked);

-- Users of whom something was dropped, since something newer was known: the next run asks for them again.
create table rollcall.directory_recheck (
    object_id uuid primary key,
    asked bigint not null
);

-- Who is in which group, as the latest answer says: one about the group, or one about its member.
create view rollcall.directory_membership as
select m.group_id, m.object_id, m.is_group, m.is_owner,
       m.is_member and m.seen_round >= coalesce(l.groups_asked, 0) as is_member
from rollcall.directory_group_member m
left join rollcall.directory_look_up l on l.object_id = m.object_id;
