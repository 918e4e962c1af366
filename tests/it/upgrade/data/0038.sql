-- A mapped property.
update rollcall.directory_user set extra = '{"values": {"department": "Sales"}, "undecodable": []}'
where id = '00000000-0000-0000-0000-0000000000ad';
