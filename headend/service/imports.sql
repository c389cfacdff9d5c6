-- name: move_service_points
update ohmesh.service_point p
set zone = coalesce(u.z, p.zone), x_m = coalesce(u.x, p.x_m), y_m = coalesce(u.y, p.y_m),
    transformer = coalesce(u.t, p.transformer), feeder = coalesce(u.f, p.feeder),
    area = coalesce(u.r, p.area)
from unnest(%(names)s::text[], %(zones)s::text[], %(x_m)s::real[], %(y_m)s::real[],
            %(transformers)s::text[], %(feeders)s::text[], %(areas)s::text[]) u (n, z, x, y, t, f, r)
where p.tenant_id = %(tenant_id)s and p.name = u.n
  and (coalesce(u.z, p.zone), coalesce(u.x, p.x_m), coalesce(u.y, p.y_m), coalesce(u.t, p.transformer),
       coalesce(u.f, p.feeder), coalesce(u.r, p.area))
      is distinct from (p.zone, p.x_m, p.y_m, p.transformer, p.feeder, p.area)

-- name: add_service_points
insert into ohmesh.service_point (tenant_id, name, zone, x_m, y_m, transformer, feeder, area)
select %(tenant_id)s, u.n, coalesce(u.z, 'UTC'), u.x, u.y, u.t, u.f, coalesce(u.r, '')
from unnest(%(names)s::text[], %(zones)s::text[], %(x_m)s::real[], %(y_m)s::real[],
            %(transformers)s::text[], %(feeders)s::text[], %(areas)s::text[]) u (n, z, x, y, t, f, r)
on conflict do nothing

-- name: add_meters
insert into ohmesh.meter (tenant_id, name, address, profile, service_point_id, interval_s, key_sealed,
                          market_keys_sealed)
select %(tenant_id)s, u.n, u.a, u.p, s.id, u.i, u.k, u.m
from unnest(%(names)s::text[], %(addresses)s::text[], %(profiles)s::text[], %(places)s::text[],
            %(intervals_s)s::int[], %(keys)s::bytea[], %(market_keys)s::bytea[]) u (n, a, p, s, i, k, m)
left join ohmesh.service_point s on s.tenant_id = %(tenant_id)s and s.name = u.s
order by u.n
on conflict do nothing
returning name

-- name: meters_named
select id, name, address, profile, interval_s, key_sealed, market_keys_sealed
from ohmesh.meter where tenant_id = %(tenant_id)s and name = any(%(names)s)

-- name: channels
select id, name, obis, unit, scaler from ohmesh.channel where name = any(%(names)s) order by id

-- name: add_channel
insert into ohmesh.channel (name, obis, unit, scaler) values (%(name)s, %(obis)s, %(unit)s, %(scaler)s)
on conflict do nothing

-- name: add_readings
select place, held from api.add_readings(%(meters)s::int[], %(channels)s::int[], %(times)s::timestamptz[],
                                         %(amounts)s::bigint[], %(flags)s::int[])
