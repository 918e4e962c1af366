-- A source whose last complete reading was doubted.
update rollcall.checkpoint set suspicion = 'lists half of what it did'
where source = 'group:00000000-0000-0000-0000-000000000096';
