-- Roles with the least rights for rollcall's database. Run it as a superuser, connected to that database, before the
-- first migration, and after an upgrade once every daemon is of the new version: it takes rights that only older
-- versions need. Running it again changes nothing that is right already.
--
--   createdb rollcall
--   psql -d rollcall -f deploy/database-roles.sql
--   psql -d rollcall -c '\password rollcall_owner' -c '\password rollcall'
--   rollcall migrate                                   with rollcall_owner's URL
--   psql -d rollcall -f deploy/database-roles.sql
--
-- rollcall_owner   owns the schema and runs the migrations.
-- rollcall         the daemon and the command line: reads and writes rows, changes no table. It adds to the history, and
--                  alters none of it except by the owner's functions: end a run, hold, decide or close a set,
--                  delete what is old, forget a person.
-- rollcall_reader  other programs: reads what is published. Grant it to their roles: GRANT rollcall_reader TO crm;
--
-- Another schema (database.schema), for a second tenant in the same database: psql -v schema=contoso makes the roles
-- contoso_owner, contoso and contoso_reader, who have no business in any other schema.
-- Other names: psql -v owner=… -v daemon=… -v reader=…
--
-- A small installation may let the daemon own everything instead: then it migrates by itself when it starts, and this
-- file is not needed.

\set ON_ERROR_STOP on
\if :{?schema} \else
  \set schema rollcall
\endif
\if :{?owner} \else
  \set owner :schema _owner
\endif
\if :{?daemon} \else
  \set daemon :schema
\endif
\if :{?reader} \else
  \set reader :schema _reader
\endif

BEGIN;
SET LOCAL client_min_messages = warning;

SELECT format('CREATE ROLE %I %s', name, login)
FROM (VALUES (:'owner', 'LOGIN'), (:'daemon', 'LOGIN'), (:'reader', 'NOLOGIN')) AS roles (name, login)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- Nobody gets rights merely by being able to connect.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"DBNAME" TO :"owner", :"daemon", :"reader";
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS :"schema" AUTHORIZATION :"owner";
GRANT USAGE ON SCHEMA :"schema" TO :"daemon", :"reader";

-- The daemon works on the rows of every table, those of later migrations too. No TRUNCATE: it would empty a table past
-- the change log.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"daemon";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT USAGE ON SEQUENCES TO :"daemon";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA :"schema" TO :"daemon";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA :"schema" TO :"daemon";

-- Functions are nobody's but the daemon's: whoever could hang a trigger function of ours on a table of its own would
-- have the owner's rights.
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"schema" GRANT EXECUTE ON FUNCTIONS TO :"daemon";
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA :"schema" FROM PUBLIC;
SELECT DISTINCT format('REVOKE ALL ON FUNCTION %I.%I FROM %I', :'schema', proname, pg_get_userbyid(grantee))
FROM pg_proc, aclexplode(proacl)
WHERE pronamespace = :'schema'::regnamespace AND grantee NOT IN (0, proowner) \gexec
SELECT format('GRANT EXECUTE ON FUNCTION %I.%I TO %I', :'schema', proname, :'daemon')
FROM pg_proc WHERE pronamespace = :'schema'::regnamespace AND prorettype <> 'trigger'::regtype \gexec

-- Less where less will do. These need their tables, which is why this file is run after a migration.
SELECT format('REVOKE %s ON %I.%I FROM %I', less.rights, :'schema', less.name, :'daemon')
FROM (VALUES
    ('system_user_change', 'UPDATE, DELETE'),          -- for evidence: lines are added, never altered
    ('_sqlx_migrations', 'INSERT, UPDATE, DELETE'),    -- which migrations were applied
    ('system_user', 'DELETE'),                         -- rows are disabled or marked as deleted
    ('sync_run', 'INSERT, UPDATE, DELETE'),            -- history; runs are begun below
    ('held_set', 'INSERT, UPDATE, DELETE'),            -- who approved what
    ('installation', 'UPDATE, DELETE'),                -- whose schema it is
    ('change_feed', 'UPDATE, DELETE'),                 -- readers rely on positions
    ('finding', 'DELETE')
) AS less (name, rights)
WHERE to_regclass(format('%I.%I', :'schema', less.name)) IS NOT NULL \gexec

-- A run is begun; how it ended is said by a function.
SELECT format('GRANT INSERT (%s) ON %I.sync_run TO %I', string_agg(quote_ident(attname), ', '), :'schema', :'daemon')
FROM pg_attribute
WHERE attrelid = to_regclass(format('%I.sync_run', :'schema')) AND attnum > 0 AND NOT attisdropped
  AND attname NOT IN ('id', 'ended_at', 'outcome', 'counts', 'changes', 'problems')
HAVING count(*) > 0 \gexec

-- Published: people, their roles, what happened to them. Not import jobs, some of which are private, and not the copy
-- of the directory.
SELECT format('GRANT SELECT ON %I.%I TO %I', :'schema', name, :'reader')
FROM (VALUES
    ('system_user'), ('system_user_role'), ('system_user_change'), ('change_feed'), ('sync_run'), ('finding'),
    ('business_unit'), ('position'), ('team'), ('team_member'), ('team_role'), ('team_membership'), ('effective_role')
) AS published (name)
WHERE to_regclass(format('%I.%I', :'schema', name)) IS NOT NULL \gexec

COMMIT;
