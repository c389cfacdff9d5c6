-- name: supply
select a.name as contract, s.kept::text as kept, s.reason
from ohmesh.account a join ohmesh.supply s on s.account_id = a.id
where a.tenant_id = %(tenant_id)s and a.name = %(contract)s

-- name: reconciliations
select day, ok, findings, made_at from ohmesh.reconciliation
where tenant_id = %(tenant_id)s and (%(before)s::date is null or day < %(before)s)
order by day desc limit %(limit)s

-- name: breaker
select opened_at, reason from ohmesh.breaker where tenant_id = %(tenant_id)s

-- name: held
select h.command_id as command, m.name as meter, h.reason, h.at, c.not_after
from ohmesh.release_hold h join ohmesh.command c on c.id = h.command_id
join ohmesh.meter m on m.id = c.meter_id
where h.tenant_id = %(tenant_id)s and c.not_after > %(now)s
  and c.state in ('queued', 'sent', 'in_field')
  and (%(after_at)s::timestamptz is null or (h.at, h.command_id) > (%(after_at)s, %(after_id)s))
order by h.at, h.command_id limit %(limit)s

-- name: add_approval
insert into ohmesh.release_approval (tenant_id, name, subject, not_after, signature)
values (%(tenant_id)s, %(name)s, %(subject)s, %(not_after)s, %(signature)s)
on conflict do nothing

-- name: waiting_payments
select p.id, p.account, p.amount_mu, p.currency, p.state, p.reason, p.received_at, p.channel
from ohmesh.payment p
where p.tenant_id = %(tenant_id)s and p.state in ('suspense', 'received', 'failed')
  and (%(after_at)s::timestamptz is null or (p.received_at, p.id) > (%(after_at)s, %(after_id)s))
order by p.received_at, p.id limit %(limit)s

-- name: odyssey
select p.id, p.booked_at, p.amount_mu, p.currency, p.account, m.name as meter
from ohmesh.payment p join ohmesh.account a on a.id = p.account_id
join ohmesh.meter m on m.id = a.meter_id
where p.tenant_id = %(tenant_id)s and p.state = 'booked'
  and p.booked_at >= %(since)s and p.booked_at < %(until)s
  and (%(after_at)s::timestamptz is null or (p.booked_at, p.id) > (%(after_at)s, %(after_id)s))
order by p.booked_at, p.id limit %(limit)s
