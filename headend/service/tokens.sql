-- name: find_token
select t.id, m.name as meter, t.meter_id, t.account_id, t.kind, t.units, t.amount_mu,
       t.vendor, t.prepared::text as prepared, t.state, t.made_at, t.issued_at, t.request_key
from ohmesh.token t join ohmesh.meter m on m.id = t.meter_id
where t.tenant_id = %(tenant_id)s
  and (t.request_key = %(request_key)s or t.id = %(id)s)

-- name: lock_meter
select k.meter_id, k.vendor, k.params::text as params, k.last_tid, k.last_tid_at, a.id as account_id, a.tariff
from ohmesh.token_meter k join ohmesh.meter m on m.id = k.meter_id
left join ohmesh.account a on a.meter_id = m.id
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s
for update of k

-- name: spent_on_energy
select coalesce(sum(amount_mu), 0)::bigint as spent_mu from ohmesh.token
where account_id = %(account_id)s and kind = 'electricity' and state <> 'voided'
  and made_at >= %(since)s

-- name: set_device
-- A count never goes back while the device has the same secret.
insert into ohmesh.token_meter (meter_id, tenant_id, vendor, params)
select m.id, m.tenant_id, %(vendor)s, %(params)s::jsonb from ohmesh.meter m
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s
on conflict (meter_id) do update
set vendor = excluded.vendor, params = excluded.params,
    last_tid = case when token_meter.params ->> 'secret' = excluded.params ->> 'secret'
               then token_meter.last_tid end,
    last_tid_at = case when token_meter.params ->> 'secret' = excluded.params ->> 'secret'
                  then token_meter.last_tid_at end
where (token_meter.vendor, token_meter.params) is distinct from (excluded.vendor, excluded.params)
returning meter_id

-- name: insert_token
insert into ohmesh.token (id, tenant_id, meter_id, account_id, request_key, kind, units, amount_mu,
                          vendor, prepared, state, made_at)
values (%(id)s, %(tenant_id)s, %(meter_id)s, %(account_id)s, %(request_key)s, %(kind)s, %(units)s,
        %(amount_mu)s, %(vendor)s, %(prepared)s::jsonb, 'prepared', %(now)s)

-- name: save_tid
update ohmesh.token_meter set last_tid = %(tid)s, last_tid_at = %(now)s where meter_id = %(meter_id)s

-- name: issued
update ohmesh.token t set state = 'issued', issued_at = %(now)s, token_sealed = %(sealed)s
from ohmesh.meter m
where t.id = %(id)s and t.state = 'prepared' and m.id = t.meter_id
returning t.tenant_id, t.account_id as id, m.name as meter,
          (select a.name from ohmesh.account a where a.id = t.account_id) as name

-- name: stale
-- Prepared, but its digits never left: they leave only when it stands as issued.
update ohmesh.token set state = 'voided'
where id in (select id from ohmesh.token where state = 'prepared' and made_at < %(before)s
             order by made_at limit %(limit)s for update skip locked)
returning id, amount_mu

-- name: settle
update ohmesh.token set state = %(state)s
where id = %(id)s and state in ('issued', 'confirmed', 'failed') returning id

-- name: device
select k.vendor, k.params::text as params
from ohmesh.token_meter k join ohmesh.meter m on m.id = k.meter_id
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s
