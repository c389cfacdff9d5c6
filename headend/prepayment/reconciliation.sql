-- name: due
select t.id from ohmesh.tenant t
where exists (select from ohmesh.account a where a.tenant_id = t.id)
  and not exists (select from ohmesh.reconciliation r where r.tenant_id = t.id and r.day = %(day)s)
order by t.id

-- name: sum
select currency, (sum(credits_mu) - sum(debits_mu))::bigint as difference_mu
from ohmesh.account_balance where tenant_id = %(tenant_id)s
group by currency having sum(credits_mu) <> sum(debits_mu)

-- name: fold
with folded as (
    select account_id, currency, book,
           coalesce(sum(amount_mu) filter (where side = 'd'), 0) as debits_mu,
           coalesce(sum(amount_mu) filter (where side = 'c'), 0) as credits_mu
    from (select account_id, currency, debit as book, 'd' as side, amount_mu
          from ohmesh.transfer where tenant_id = %(tenant_id)s and step in (0, 2)
          union all
          select account_id, currency, credit, 'c', amount_mu
          from ohmesh.transfer where tenant_id = %(tenant_id)s and step in (0, 2)) f
    group by account_id, currency, book
)
select coalesce(b.account_id, f.account_id) as account_id, coalesce(b.book, f.book) as book,
       (coalesce(b.credits_mu - b.debits_mu, 0) - coalesce(f.credits_mu - f.debits_mu, 0))::bigint
           as difference_mu
from (select * from ohmesh.account_balance
      where tenant_id = %(tenant_id)s and (debits_mu <> 0 or credits_mu <> 0)) b
full join folded f on coalesce(f.account_id, 0) = coalesce(b.account_id, 0)
    and f.currency = b.currency and f.book = b.book
where coalesce(b.debits_mu, 0) <> coalesce(f.debits_mu, 0)
   or coalesce(b.credits_mu, 0) <> coalesce(f.credits_mu, 0)

-- name: charged
-- Charges of this schema carry their day and component; what is older has no row in charge_day.
with posted as (
    select f.account_id, sum(case when f.debit = 'wallet' then f.amount_mu else -f.amount_mu end) as mu
    from ohmesh.transfer f
    where f.tenant_id = %(tenant_id)s and f.step in (0, 2) and f.ref ? 'rating_version'
    group by f.account_id
), kept as (
    select d.account_id,
           sum(case when d.component like 'subsidy:%%' then -d.posted_mu else d.posted_mu end) as mu
    from ohmesh.charge_day d join ohmesh.account a on a.id = d.account_id
    where a.tenant_id = %(tenant_id)s group by d.account_id
)
select coalesce(p.account_id, k.account_id) as account_id,
       (coalesce(p.mu, 0) - coalesce(k.mu, 0))::bigint as difference_mu
from posted p full join kept k on k.account_id = p.account_id
where coalesce(p.mu, 0) <> coalesce(k.mu, 0)

-- name: metered
-- What was counted of a contract against the advance of its register, from where charging began to
-- the newest interval charged, modulo where the register begins anew. Without both registers: nothing.
select a.id as account_id, (l.wh - f.wh - k.wh)::bigint as difference_wh
from ohmesh.account a
join ohmesh.rating_state r on r.account_id = a.id and r.rated_to > r.base_at
join ohmesh.channel c on c.name = a.rated_channel and c.unit = 'Wh'
join lateral (select coalesce(sum(m.counter_wh - m.opening_wh), 0) as wh from ohmesh.charge_month m
              where m.account_id = a.id) k on true
join lateral (select floor(b.value * power(10::numeric, c.scaler)) as wh from bulk.reading b
              where b.meter_id = a.meter_id and b.channel = c.id and b.ts = r.base_at
                and b.status & 41 = 0) f on true
join lateral (select floor(b.value * power(10::numeric, c.scaler)) as wh from bulk.reading b
              where b.meter_id = a.meter_id and b.channel = c.id and b.ts = r.rated_to
                and b.status & 41 = 0) l on true
where a.tenant_id = %(tenant_id)s
  and case when a.register_modulus_wh is null then l.wh - f.wh - k.wh
      else mod(l.wh - f.wh - k.wh, a.register_modulus_wh) end <> 0

-- name: save
insert into ohmesh.reconciliation (tenant_id, day, ok, findings, made_at)
values (%(tenant_id)s, %(day)s, %(ok)s, %(findings)s::jsonb, %(now)s)
on conflict (tenant_id, day) do update
set ok = excluded.ok, findings = excluded.findings, made_at = excluded.made_at

-- name: stop
insert into ohmesh.ledger_stop (tenant_id, since, reason)
values (%(tenant_id)s, %(now)s, %(reason)s) on conflict do nothing
