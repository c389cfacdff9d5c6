-- name: insert_meter
insert into ohmesh.meter (tenant_id, name, address, profile, service_point_id, interval_s, key_sealed,
                          market_keys_sealed)
values (%(tenant_id)s, %(name)s, %(address)s, %(profile)s,
        (select id from ohmesh.service_point
         where tenant_id = %(tenant_id)s and name = %(service_point)s),
        %(interval_s)s, %(key_sealed)s, %(market_keys_sealed)s)
on conflict do nothing
returning id

-- name: find_meter
select id, tenant_id, name, address, profile, interval_s, key_sealed, market_keys_sealed
from ohmesh.meter where tenant_id = %(tenant_id)s and name = %(name)s

-- name: change_meter
update ohmesh.meter
set profile = coalesce(%(profile)s, profile),
    interval_s = coalesce(%(interval_s)s, interval_s),
    key_sealed = coalesce(%(key_sealed)s, key_sealed),
    market_keys_sealed = coalesce(%(market_keys_sealed)s, market_keys_sealed),
    service_point_id = coalesce(
        (select p.id from ohmesh.service_point p
         where p.tenant_id = %(tenant_id)s and p.name = %(service_point)s), service_point_id)
where tenant_id = %(tenant_id)s and name = %(name)s
  and (profile <> coalesce(%(profile)s, profile) or interval_s <> coalesce(%(interval_s)s, interval_s)
       or key_sealed is distinct from coalesce(%(key_sealed)s, key_sealed)
       or market_keys_sealed is distinct from coalesce(%(market_keys_sealed)s, market_keys_sealed)
       or (%(service_point)s::text is not null and service_point_id is distinct from (
           select p.id from ohmesh.service_point p
           where p.tenant_id = %(tenant_id)s and p.name = %(service_point)s)))
returning id

-- name: lock_meter
select version from ohmesh.meter where tenant_id = %(tenant_id)s and name = %(name)s for update

-- name: find_service_point
select id from ohmesh.service_point where tenant_id = %(tenant_id)s and name = %(name)s

-- name: insert_service_point
insert into ohmesh.service_point (tenant_id, name, zone, x_m, y_m)
values (%(tenant_id)s, %(name)s, %(zone)s, %(x_m)s, %(y_m)s)
on conflict (tenant_id, name) do update set zone = excluded.zone
returning id

-- name: insert_gateway
insert into ohmesh.gateway (tenant_id, name, node, x_m, y_m)
values (%(tenant_id)s, %(name)s, %(node)s, %(x_m)s, %(y_m)s)
on conflict do nothing
returning id

-- name: find_gateway
select id, tenant_id, name, node, x_m, y_m
from ohmesh.gateway where tenant_id = %(tenant_id)s and name = %(name)s
