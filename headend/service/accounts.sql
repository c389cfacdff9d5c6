-- name: insert_tariff
insert into ohmesh.tariff (tenant_id, name, currency, price_mu_per_kwh, valid_from, version, body)
values (%(tenant_id)s, %(name)s, %(currency)s, %(price_mu_per_kwh)s,
        coalesce(%(valid_from)s, '-infinity'::timestamptz), %(version)s, %(body)s::jsonb)
on conflict do nothing
returning id

-- name: find_tariff
select currency, version, greatest(valid_from, 'epoch') as valid_from, body::text as body from ohmesh.tariff
where tenant_id = %(tenant_id)s and name = %(name)s
order by version

-- name: find_meter
select id, key_sealed is not null as has_key
from ohmesh.meter where tenant_id = %(tenant_id)s and name = %(meter)s

-- name: insert_account
insert into ohmesh.account (tenant_id, name, meter_id, tariff, currency, terms, register_modulus_wh,
                            opened_at)
values (%(tenant_id)s, %(name)s, %(meter_id)s, %(tariff)s, %(currency)s, %(terms)s::jsonb,
        %(register_modulus_wh)s, %(now)s)
on conflict do nothing
returning id

-- name: find_account
select a.id, a.name, a.meter_id, a.tariff, a.currency, a.terms::text as terms
from ohmesh.account a
where a.tenant_id = %(tenant_id)s and a.name = %(name)s

-- name: set_terms
update ohmesh.account set terms = %(terms)s::jsonb where id = %(account_id)s

-- name: insert_supply
insert into ohmesh.supply (account_id, decided_at) values (%(account_id)s, %(now)s)

-- name: insert_rating
insert into ohmesh.rating_state (account_id, rated_from) values (%(account_id)s, %(rated_from)s)

-- name: lock_contract
-- The supply row is the account's lock, as in lock_account of the engine.
select a.id, a.currency
from ohmesh.account a join ohmesh.supply s on s.account_id = a.id
where a.tenant_id = %(tenant_id)s and a.name = %(name)s
for update of s

-- name: before_payment
-- What may stand under the key already, and what the contract owes.
select p.id, p.account, p.account_id, p.amount_mu, p.currency, p.channel, p.state, p.reason,
       p.received_at, p.booked_at, p.wallet_mu, p.decision_seq, d.owed_payment_mu, d.owed_acc_mu,
       (select a.name from ohmesh.account a where a.id = p.account_id) as contract
from (select coalesce(sum(debits_mu - credits_mu) filter (where book = 'debt_payment'), 0)::bigint
                 as owed_payment_mu,
             coalesce(sum(debits_mu - credits_mu) filter (where book = 'debt_acc'), 0)::bigint
                 as owed_acc_mu
      from ohmesh.account_balance
      where account_id = %(account_id)s and book in ('debt_payment', 'debt_acc')) d
left join ohmesh.payment p
    on p.tenant_id = %(tenant_id)s and p.idempotency_key = %(idempotency_key)s

-- name: insert_payment
insert into ohmesh.payment (id, tenant_id, account, account_id, amount_mu, currency, channel,
                            idempotency_key, state, reason, received_at, booked_at, wallet_mu,
                            decision_seq)
values (%(id)s, %(tenant_id)s, %(account)s, %(account_id)s, %(amount_mu)s, %(currency)s, %(channel)s,
        %(idempotency_key)s, %(state)s, %(reason)s, %(now)s, %(booked_at)s, %(wallet_mu)s,
        %(decision_seq)s)

-- name: keep_channel
insert into ohmesh.payment_channel (tenant_id, name, secret_sealed, made_at)
values (%(tenant_id)s, %(name)s, %(sealed)s, %(now)s)
on conflict (tenant_id, name) do update
set secret_sealed = excluded.secret_sealed, made_at = excluded.made_at

-- name: channel
select secret_sealed from ohmesh.payment_channel
where tenant_id = %(tenant_id)s and name = %(name)s

-- name: payment_by_id
-- `account` is what the payer wrote; `contract` is where it is booked.
select p.id, p.account, p.account_id, p.amount_mu, p.currency, p.channel, p.state, p.reason,
       p.received_at, p.booked_at, p.wallet_mu, p.decision_seq, p.idempotency_key,
       a.name as contract
from ohmesh.payment p left join ohmesh.account a on a.id = p.account_id
where p.tenant_id = %(tenant_id)s and p.id = %(id)s
for update of p

-- name: set_payment
update ohmesh.payment
set state = %(state)s, account_id = %(account_id)s, booked_at = %(booked_at)s,
    wallet_mu = %(wallet_mu)s, reason = %(reason)s, decision_seq = %(decision_seq)s
where id = %(id)s

-- name: taken_of_debt
select coalesce(sum(amount_mu), 0)::bigint as taken_mu from ohmesh.transfer
where account_id = %(account_id)s and code = 11 and posted_at >= %(since)s

-- name: spent_since
select coalesce(sum(case when component like 'subsidy:%%' then -posted_mu else posted_mu end), 0)::bigint
           as spent_mu, count(distinct day)::int as days
from ohmesh.charge_day where account_id = %(account_id)s and day >= %(since)s and day < %(until)s

-- name: statement
select f.id, f.txn, f.code, f.debit, f.credit, f.amount_mu, f.currency, f.step, f.value_at,
       f.posted_at, f.ref
from ohmesh.transfer f
where f.account_id = %(account_id)s and f.posted_at >= %(since)s and f.posted_at < %(until)s
  and (%(before_at)s::timestamptz is null
       or (f.posted_at, f.id) < (%(before_at)s, %(before_id)s))
order by f.posted_at desc, f.id desc
limit %(limit)s
