-- A subscription, and a notification that nobody has followed.
insert into rollcall.subscription
values ('users', '00000000-0000-0000-0000-00000000005b', 'https://rollcall.example/hint', '\x00', '2026-02-01', '2026-02-15', '2026-03-01');
insert into rollcall.notification_hint (at) values ('2026-02-02');
