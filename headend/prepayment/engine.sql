-- name: lock_account
-- The supply row is the account's lock: balance and decision change under it alone.
select account_id from ohmesh.supply where account_id = %(account_id)s for update

-- name: locked_account
-- A statement of its own: what is joined to a row that was waited for is as old as the wait.
select a.id, a.tenant_id, a.name, a.meter_id, a.rated_channel, m.name as meter,
       t.price_mu_per_kwh, t.currency,
       s.desired, s.decision_seq, s.command_id, s.tries,
       r.rated_to, r.register_wh, r.charge_milli_mu, r.posted_mu, r.batches as rated_batches,
       ms.relay as actual, ms.batches,
       c.state as command_state, c.resolved_at as command_resolved_at
from ohmesh.supply s
join ohmesh.account a on a.id = s.account_id
join ohmesh.tariff t on t.id = a.tariff_id
join ohmesh.meter m on m.id = a.meter_id
join ohmesh.rating_state r on r.account_id = a.id
left join ohmesh.meter_status ms on ms.meter_id = a.meter_id
left join ohmesh.command c on c.id = s.command_id
where a.id = %(account_id)s

-- name: save_decision
update ohmesh.supply
set desired = %(desired)s, decision_seq = %(decision_seq)s, reason = %(reason)s,
    decided_at = %(now)s, command_id = %(command_id)s, tries = %(tries)s
where account_id = %(account_id)s

-- name: save_rating
update ohmesh.rating_state
set rated_to = %(rated_to)s, register_wh = %(register_wh)s, charge_milli_mu = %(charge_milli_mu)s,
    posted_mu = %(posted_mu)s, batches = %(batches)s
where account_id = %(account_id)s

-- name: registers
-- Trusted registers behind what is rated; status 1 clock invalid, 8 estimated, 32 overflow.
select r.ts, floor(r.value * power(10::numeric, c.scaler))::bigint as wh
from bulk.reading r join ohmesh.channel c on c.id = r.channel
where r.meter_id = %(meter_id)s and c.name = %(channel)s and c.unit = 'Wh'
  and r.ts > coalesce(%(after)s, '-infinity'::timestamptz) and r.ts <= %(until)s
  and r.status & 41 = 0
order by r.ts limit %(limit)s

-- name: last_register
select r.ts, floor(r.value * power(10::numeric, c.scaler))::bigint as wh
from bulk.reading r join ohmesh.channel c on c.id = r.channel
where r.meter_id = %(meter_id)s and c.name = %(channel)s and c.unit = 'Wh'
  and r.ts <= %(until)s and r.status & 41 = 0
order by r.ts desc limit 1

-- name: due_rating
select r.account_id
from ohmesh.rating_state r
join ohmesh.account a on a.id = r.account_id
join ohmesh.meter_status ms on ms.meter_id = a.meter_id
where ms.batches <> r.batches and r.account_id <> all (%(avoid)s)
order by r.account_id limit %(limit)s

-- name: due_supply
-- Coarse on purpose: `headend.prepayment.supply` decides.
select s.account_id
from ohmesh.supply s
join ohmesh.account a on a.id = s.account_id
join ohmesh.rating_state r on r.account_id = s.account_id
left join ohmesh.account_balance w on w.account_id = s.account_id and w.book = 'wallet'
left join ohmesh.meter_status ms on ms.meter_id = a.meter_id
left join ohmesh.command c on c.id = s.command_id
where ((coalesce(w.credits_mu - w.debits_mu, 0) > 0 and s.desired = 0)
   or (coalesce(w.credits_mu - w.debits_mu, 0) <= 0 and s.desired = 1 and r.posted_mu > 0)
   or (ms.relay is distinct from s.desired and ms.relay is distinct from 2
       and (ms.relay is not null or c.id is not null)
       and (c.id is null or c.resolved_at
            < %(now)s - least(%(pause_max)s, %(pause)s * (2 ^ least(s.tries, 10))))))
  and s.account_id <> all (%(avoid)s)
order by s.desired desc, s.account_id limit %(limit)s

-- name: insert_event
insert into ohmesh.event (tenant_id, meter_id, at, kind, detail)
values (%(tenant_id)s, %(meter_id)s, %(at)s, %(kind)s, %(detail)s::jsonb)
