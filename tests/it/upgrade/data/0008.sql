-- A first name that could not be decoded.
update rollcall.directory_user set undecodable = 4 where id = '00000000-0000-0000-0000-000000000001';
