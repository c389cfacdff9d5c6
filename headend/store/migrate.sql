-- name: create_meta
create schema if not exists ohmesh_meta;
create table if not exists ohmesh_meta.migration (
    name        text primary key,
    sha256      text not null,
    applied_at  timestamptz not null default now()
);
grant usage on schema ohmesh_meta to ohmesh_ingest, ohmesh_worker, ohmesh_api;
grant select on ohmesh_meta.migration to ohmesh_ingest, ohmesh_worker, ohmesh_api;

-- name: meta_exists
select to_regclass('ohmesh_meta.migration') is not null as found

-- name: applied
select name, sha256 from ohmesh_meta.migration order by name

-- name: record
insert into ohmesh_meta.migration (name, sha256) values (%(name)s, %(sha256)s)

-- name: edition
select current_setting('timescaledb.license') as edition
from pg_extension where extname = 'timescaledb'

-- name: timescale_version
select extversion as version from pg_extension where extname = 'timescaledb'
