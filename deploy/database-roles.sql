-- Roles with the least rights for rollcall's database. Run it as a superuser, connected to that database, before the
-- first migration; running it again, also after later migrations, changes nothing that is right already.
--
--   createdb rollcall
--   psql -v ON_ERROR_STOP=1 -d rollcall -f deploy/database-roles.sql
--   psql -d rollcall -c '\password rollcall_owner' -c '\password rollcall'
--
-- rollcall_owner   owns the schema and runs the migrations: `rollcall migrate` with this role's URL.
-- rollcall         the daemon and the command line: reads and writes rows, changes no table.
-- rollcall_reader  other programs: reads what is published. Grant it to their roles: GRANT rollcall_reader TO crm;
--
-- A small installation may let the daemon own everything instead: then it migrates by itself when it starts, and this
-- file is not needed.

BEGIN;

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES ('rollcall_owner', 'LOGIN'), ('rollcall', 'LOGIN'), ('rollcall_reader', 'NOLOGIN')) AS roles (name, login) LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
        END IF;
    END LOOP;
END
$$;

-- Nobody gets rights merely by being able to connect.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO rollcall, rollcall_reader', current_database());
    -- CREATE, because the first migration creates the schema where it is missing.
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO rollcall_owner', current_database());
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS rollcall AUTHORIZATION rollcall_owner;
GRANT USAGE ON SCHEMA rollcall TO rollcall, rollcall_reader;

-- The daemon works on every table, those of later migrations too. No TRUNCATE: it would empty a table past the change log.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA rollcall TO rollcall;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA rollcall TO rollcall;
ALTER DEFAULT PRIVILEGES FOR ROLE rollcall_owner IN SCHEMA rollcall GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO rollcall;
ALTER DEFAULT PRIVILEGES FOR ROLE rollcall_owner IN SCHEMA rollcall GRANT USAGE ON SEQUENCES TO rollcall;

-- These need their tables: run this file once more after the first migration.
DO $$
DECLARE
    published text;
BEGIN
    IF to_regclass('rollcall.system_user_change') IS NOT NULL THEN
        -- The change log is for evidence: lines are added, never altered.
        REVOKE UPDATE, DELETE ON rollcall.system_user_change FROM rollcall;
    END IF;
    FOREACH published IN ARRAY ARRAY['system_user', 'system_user_role', 'system_user_change', 'sync_run', 'finding'] LOOP
        IF to_regclass('rollcall.' || published) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON rollcall.%I TO rollcall_reader', published);
        END IF;
    END LOOP;
END
$$;

COMMIT;
