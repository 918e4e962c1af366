-- A stub whose person had a row already: where its roles went, for whoever refers to the stub to follow.

alter table rollcall.system_user add column merged_into uuid;
