-- The security roles that an import job grants to its users before it ends, and the result for each role.
alter table rollcall.import_job
    add column roles text[] not null default '{}',
    add column role_results jsonb not null default '[]';
