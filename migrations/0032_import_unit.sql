-- The business unit of the rows that an import creates; null: that of the environment.
alter table rollcall.import_job add column businessunitid uuid;
