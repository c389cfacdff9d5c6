-- name: due
select c.id, c.meter_id, m.name as meter, m.address, m.key_sealed, ms.gateway_id, g.name as gateway,
       c.kind, c.argument, c.sequence, c.priority, c.not_after, c.attempts, c.state, c.next_try_at
from ohmesh.command c
join ohmesh.meter m on m.id = c.meter_id
join ohmesh.meter_status ms on ms.meter_id = c.meter_id
join ohmesh.gateway g on g.id = ms.gateway_id
where c.state in ('queued', 'sent', 'in_field') and c.next_try_at <= %(now)s
  and c.not_after > %(now)s and m.key_sealed is not null
order by c.priority desc, c.next_try_at limit %(limit)s

-- name: under_way
select ms.gateway_id, count(*) as commands
from ohmesh.command c join ohmesh.meter_status ms on ms.meter_id = c.meter_id
where c.state in ('sent', 'in_field') and c.next_try_at > %(now)s and ms.gateway_id is not null
group by ms.gateway_id

-- name: next_counter
update ohmesh.meter_status set down_counter = down_counter + 1
where meter_id = %(meter_id)s returning down_counter

-- name: mark_sent
-- Only if nobody else has touched it since it was read: another dispatcher, a result, a decision.
update ohmesh.command
set state = %(state)s, attempts = attempts + 1, next_try_at = %(next_try_at)s, sent_at = %(now)s
where id = %(id)s and attempts = %(attempts)s and state = %(was)s
returning id

-- name: overdue
select id, state, not_after from ohmesh.command
where state in ('queued', 'sent', 'in_field') and not_after <= %(now)s
order by id limit %(limit)s for update skip locked

-- name: expire
update ohmesh.command
set state = %(state)s, resolved_at = %(now)s, detail = 'no result before the deadline'
where id = %(id)s
