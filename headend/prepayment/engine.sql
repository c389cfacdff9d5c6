-- name: lock_account
-- The supply row is the account's lock: balance and decision change under it alone.
select account_id from ohmesh.supply where account_id = %(account_id)s for update

-- name: locked_account
-- A statement of its own: what is joined to a row that was waited for is as old as the wait.
select a.id, a.tenant_id, a.name, a.meter_id, m.name as meter, a.rated_channel, a.tariff, a.currency,
       a.terms::text as terms, a.register_modulus_wh, a.opened_at,
       s.next_eval_at is not null as due,
       coalesce(p.zone, 'UTC') as zone,
       s.kept::text as kept, s.relay_counter as relay_taken, s.reason, s.decided_at, s.command_id,
       r.rated_from, r.base_at, r.rated_to, r.idle_to, r.estimated_mu, r.estimate_id, r.postings,
       ms.relay, ms.relay_counter, ms.last_seen,
       coalesce(w.credits_mu - w.debits_mu, 0)::bigint as wallet_mu, w.book is not null as used,
       coalesce(b.opened_at is not null, false) as breaker_open,
       ls.tenant_id is not null as stopped,
       c.state as command_state, c.relay as command_relay, c.sent_at as command_sent_at,
       c.decision_seq as command_seq,
       n.accepted_at as notice_accepted_at
from ohmesh.supply s
join ohmesh.account a on a.id = s.account_id
join ohmesh.meter m on m.id = a.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
join ohmesh.rating_state r on r.account_id = a.id
left join ohmesh.meter_status ms on ms.meter_id = a.meter_id
left join ohmesh.account_balance w on w.account_id = a.id and w.book = 'wallet'
left join ohmesh.breaker b on b.tenant_id = a.tenant_id
left join ohmesh.ledger_stop ls on ls.tenant_id = a.tenant_id
left join ohmesh.command c on c.id = s.command_id
left join lateral (select n.accepted_at from ohmesh.notice n
                   where n.account_id = a.id and n.kind = 'zero'
                   order by n.id desc limit 1) n on true
where s.account_id = %(account_id)s

-- name: account_of_meter
select a.id from ohmesh.account a join ohmesh.meter m on m.id = a.meter_id
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s

-- name: take_news
-- While the ledger is stopped readings wait.
delete from ohmesh.account_news
where account_id = %(account_id)s and (from_ts is null or not %(stopped)s) returning from_ts

-- name: add_news
insert into ohmesh.account_news (account_id) values (%(account_id)s)

-- name: with_news
select n.account_id
from (select w.account_id, min(w.id) as first
      from ohmesh.account_news w join ohmesh.account a on a.id = w.account_id
      left join ohmesh.ledger_stop ls on ls.tenant_id = a.tenant_id
      where w.account_id <> all (%(avoid)s) and (w.from_ts is null or ls.tenant_id is null)
      group by w.account_id order by 2 limit %(limit)s) n
order by n.first

-- name: due_supply
-- Those who wait for their supply to come back go first.
select account_id from ohmesh.supply
where next_eval_at <= %(now)s and account_id <> all (%(avoid)s)
order by (state = 'RECONNECT_PENDING') desc, next_eval_at limit %(limit)s

-- name: save_supply
update ohmesh.supply
set state = %(state)s, desired = %(desired)s, decision_seq = %(decision_seq)s, kept = %(kept)s::jsonb,
    next_eval_at = %(next_eval_at)s, reason = %(reason)s, decided_at = %(decided_at)s,
    command_id = %(command_id)s, relay_counter = %(relay_counter)s
where account_id = %(account_id)s

-- name: tariff_versions
select body::text as body from ohmesh.tariff
where tenant_id = %(tenant_id)s and name = %(name)s order by version

-- name: registers
-- Status 1 clock invalid, 32 overflow are never used; 8 estimated only pends.
-- Columns by time as PostgreSQL sends them; null when there is none.
select string_agg(timestamptz_send(r.ts), ''::bytea order by r.ts) as times,
       string_agg(int8send(case when c.scaler = 0 then r.value
                           else floor(r.value * power(10::numeric, c.scaler))::bigint end),
                  ''::bytea order by r.ts) as wh,
       string_agg(int4send(r.status & 8), ''::bytea order by r.ts) as estimated
from bulk.reading r join ohmesh.channel c on c.id = r.channel
where r.meter_id = %(meter_id)s and c.name = %(channel)s and c.unit = 'Wh'
  and r.ts >= %(since)s and r.ts <= %(until)s and r.status & 33 = 0

-- name: register_before
select r.ts from bulk.reading r join ohmesh.channel c on c.id = r.channel
where r.meter_id = %(meter_id)s and c.name = %(channel)s and c.unit = 'Wh'
  and r.ts <= %(until)s and r.status & 41 = 0
order by r.ts desc limit 1

-- name: register_after
select r.ts from bulk.reading r join ohmesh.channel c on c.id = r.channel
where r.meter_id = %(meter_id)s and c.name = %(channel)s and c.unit = 'Wh'
  and r.ts > %(since)s and r.status & 41 = 0
order by r.ts limit 1

-- name: posted_days
select day, component, posted_mu from ohmesh.charge_day
where account_id = %(account_id)s and day >= %(since)s

-- name: months
select month, rating_version, counter_wh, opening_wh from ohmesh.charge_month
where account_id = %(account_id)s and month >= %(since)s

-- name: save_charges
with days as (
    insert into ohmesh.charge_day (account_id, day, component, posted_mu)
    select %(account_id)s, u.day, u.component, u.posted_mu
    from unnest(%(days)s::date[], %(components)s::text[], %(amounts)s::bigint[])
         as u (day, component, posted_mu)
    on conflict (account_id, day, component) do update set posted_mu = excluded.posted_mu
)
insert into ohmesh.charge_month (account_id, month, rating_version, counter_wh, opening_wh)
select %(account_id)s, u.month, u.rating_version, u.counter_wh, u.opening_wh
from unnest(%(months)s::date[], %(versions)s::int[], %(counters)s::bigint[], %(openings)s::bigint[])
     as u (month, rating_version, counter_wh, opening_wh)
on conflict (account_id, month) do update
set rating_version = excluded.rating_version, counter_wh = excluded.counter_wh

-- name: save_rating
update ohmesh.rating_state
set base_at = %(base_at)s, rated_to = coalesce(%(rated_to)s, rated_to), idle_to = %(idle_to)s,
    postings = %(postings)s, estimated_mu = %(estimated_mu)s, estimate_id = %(estimate_id)s
where account_id = %(account_id)s

-- name: insert_event
insert into ohmesh.event (tenant_id, meter_id, at, kind, detail)
values (%(tenant_id)s, %(meter_id)s, %(at)s, %(kind)s, %(detail)s::jsonb)

-- name: insert_notice
insert into ohmesh.notice (tenant_id, account_id, kind, at, detail)
values (%(tenant_id)s, %(account_id)s, %(kind)s, %(at)s, %(detail)s::jsonb) returning id

-- name: queue_deliveries
insert into ohmesh.webhook_delivery (tenant_id, webhook_id, event_id, kind, body, notice_id, next_try_at)
select w.tenant_id, w.id, %(event_id)s, %(kind)s, %(body)s, %(notice_id)s, %(now)s
from ohmesh.webhook w
where w.tenant_id = %(tenant_id)s and w.active and %(kind)s = any (w.kinds)
on conflict do nothing

-- name: sweep_page
-- What a decision needs, for many accounts at once and without a lock.
select a.id, a.name, a.terms::text as terms, coalesce(p.zone, 'UTC') as zone, s.state,
       s.kept::text as kept,
       coalesce(w.credits_mu - w.debits_mu, 0)::bigint as wallet_mu,
       coalesce(b.opened_at is not null, false) or ls.tenant_id is not null as breaker_open,
       r.idle_to
from ohmesh.supply s
join ohmesh.account a on a.id = s.account_id
join ohmesh.meter m on m.id = a.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
join ohmesh.rating_state r on r.account_id = a.id
left join ohmesh.account_balance w on w.account_id = a.id and w.book = 'wallet'
left join ohmesh.breaker b on b.tenant_id = a.tenant_id
left join ohmesh.ledger_stop ls on ls.tenant_id = a.tenant_id
where s.account_id > %(after)s
order by s.account_id limit %(limit)s
