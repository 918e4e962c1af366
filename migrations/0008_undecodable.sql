-- Values of the directory that cannot be decoded: what was known of them stands, and they are asked for again.

-- A bit for each property, as rollcall numbers them; 0: everything can be decoded.
alter table rollcall.directory_user add column undecodable integer not null default 0;
