-- What was asked when.
insert into rollcall.directory_reading values ('owners:00000000-0000-0000-0000-000000000096', 12);
insert into rollcall.directory_look_up values ('00000000-0000-0000-0000-000000000001', 13, 14);
insert into rollcall.directory_recheck values ('00000000-0000-0000-0000-000000000001', 15);
