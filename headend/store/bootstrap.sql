-- name: roles
select rolname from pg_roles where rolname like 'ohmesh\_%%'

-- name: database
select 1 as found from pg_database where datname = %(name)s

-- name: timescale
select 1 as found from pg_available_extensions where name = 'timescaledb'
