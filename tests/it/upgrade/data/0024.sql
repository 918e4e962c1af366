-- A line with a position, and one that waits for it.
insert into rollcall.change_feed (position, environment, id) values (1, 'production', 1);
update rollcall.change_feed_head set position = 1, purged = 0, earlier_after = 1;
insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
values ('production', '2026-02-03', 'ada', '00000000-0000-0000-0001-0000000000ad', 'edit');
