-- What tables created from now on grant by themselves: in public for the application, everywhere for reporting.
GRANT USAGE, CREATE ON SCHEMA public TO app_owner, analytics_owner;
GRANT USAGE ON SCHEMA public TO app_web, app_worker, reporting;

ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app_web, app_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO app_web, app_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE analytics_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app_worker;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner GRANT SELECT ON TABLES TO reporting;
ALTER DEFAULT PRIVILEGES FOR ROLE analytics_owner GRANT SELECT ON TABLES TO reporting;
-- Nobody calls a function just because it exists.
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT EXECUTE ON ROUTINES TO app_web, app_worker;
