-- name: insert_tariff
insert into ohmesh.tariff (tenant_id, name, currency, price_mu_per_kwh, valid_from)
values (%(tenant_id)s, %(name)s, %(currency)s, %(price_mu_per_kwh)s,
        coalesce(%(valid_from)s, '-infinity'::timestamptz))
on conflict do nothing
returning id

-- name: find_tariff
select id, currency, price_mu_per_kwh from ohmesh.tariff
where tenant_id = %(tenant_id)s and name = %(name)s
order by valid_from desc limit 1

-- name: find_meter
select id, key_sealed is not null as has_key
from ohmesh.meter where tenant_id = %(tenant_id)s and name = %(meter)s

-- name: insert_account
insert into ohmesh.account (tenant_id, name, meter_id, tariff_id, opened_at)
values (%(tenant_id)s, %(name)s, %(meter_id)s, %(tariff_id)s, %(now)s)
on conflict do nothing
returning id

-- name: find_account
select a.id, a.meter_id, a.tariff_id from ohmesh.account a
where a.tenant_id = %(tenant_id)s and a.name = %(name)s

-- name: insert_supply
insert into ohmesh.supply (account_id, decided_at) values (%(account_id)s, %(now)s)

-- name: insert_rating
insert into ohmesh.rating_state (account_id, rated_to) values (%(account_id)s, %(rated_from)s)
