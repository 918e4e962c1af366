-- A listing that was in doubt left a member out, and a group lost an owner.
update rollcall.directory_group_member set kept_in_doubt = true, was_owner = true;
