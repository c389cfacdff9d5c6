-- name: role
select rolname from pg_roles where rolname = %(role)s

-- name: tenant
select id from ohmesh.tenant where name = %(name)s

-- name: timescale
select 1 as found from pg_extension where extname = 'timescaledb'

-- name: reads
insert into ohmesh.reader_role (role, tenant_id) values (%(role)s, %(tenant)s)
on conflict (role) do update set tenant_id = excluded.tenant_id

-- name: database
select current_database() as name
