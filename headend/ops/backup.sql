-- What a back-up and its restoration ask, as a superuser.

-- name: has_database
select 1 as found from pg_database where datname = %(name)s

-- name: has_timescale
select 1 as found from pg_extension where extname = 'timescaledb'

-- name: pre_restore
select timescaledb_pre_restore()

-- name: post_restore
select timescaledb_post_restore()

-- name: analyze
analyze

-- name: holds
select (select count(*) from ohmesh.meter) as meters,
       (select count(*) from bulk.reading) as readings,
       (select count(*) from ohmesh.transfer) as transfers,
       (select coalesce(sum(amount_mu), 0)::bigint from ohmesh.transfer) as transferred_mu
