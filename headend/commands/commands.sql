-- name: due
-- What takes supply away is not here: it goes one by one, with its release (`due_cuts`).
select c.id, c.meter_id, m.name as meter, m.address, m.key_sealed, ms.gateway_id, g.name as gateway,
       c.kind, c.argument, c.body, c.proof, c.sequence, c.priority, c.not_after, c.attempts, c.state, c.next_try_at,
       c.tenant_id, coalesce(p.area, '') as area
from ohmesh.command c
join ohmesh.meter m on m.id = c.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
join ohmesh.meter_status ms on ms.meter_id = c.meter_id
join ohmesh.gateway g on g.id = ms.gateway_id
where c.state in ('queued', 'sent', 'in_field') and c.next_try_at <= %(now)s
  and c.not_after > %(now)s and m.key_sealed is not null and c.kind <> all (%(guarded)s)
order by c.priority desc, c.next_try_at limit %(limit)s
for update of c skip locked

-- name: due_cuts
select c.id, c.account_id, c.kind
from ohmesh.command c
join ohmesh.release r on r.command_id = c.id and r.not_after > %(now)s
join ohmesh.meter m on m.id = c.meter_id
join ohmesh.meter_status ms on ms.meter_id = c.meter_id
where c.state in ('queued', 'sent', 'in_field') and c.next_try_at <= %(now)s
  and c.not_after > %(now)s and m.key_sealed is not null and c.kind = any (%(guarded)s)
  and ms.gateway_id is not null
order by c.next_try_at limit %(limit)s

-- name: one_cut
select c.id, c.meter_id, m.name as meter, m.address, m.key_sealed, ms.gateway_id, g.name as gateway,
       c.kind, c.argument, c.body, c.proof, c.sequence, c.priority, c.not_after, c.attempts, c.state, c.next_try_at,
       c.tenant_id, coalesce(p.area, '') as area, c.decision_seq, c.requested_by,
       r.octets as release,
       array(select json_build_array(a.name, extract(epoch from a.not_after)::bigint,
                                     encode(a.signature, 'hex'))::text
             from ohmesh.release_approval a
             where a.tenant_id = c.tenant_id and a.subject = 'release:' || c.id
               and a.not_after > %(now)s
             order by a.id limit 4) as approvals
from ohmesh.command c
join ohmesh.release r on r.command_id = c.id and r.not_after > %(now)s
join ohmesh.meter m on m.id = c.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
join ohmesh.meter_status ms on ms.meter_id = c.meter_id
join ohmesh.gateway g on g.id = ms.gateway_id
where c.id = %(id)s and c.state in ('queued', 'sent', 'in_field') and c.next_try_at <= %(now)s
  and c.not_after > %(now)s
for update of c skip locked

-- name: lease
-- Nobody else takes them before the lease is over; who dies meanwhile costs that long.
update ohmesh.command c set next_try_at = u.next_try_at
from unnest(%(ids)s::uuid[], %(until)s::timestamptz[]) as u (id, next_try_at)
where c.id = u.id

-- name: under_way
select ms.gateway_id, count(*) as commands
from ohmesh.command c join ohmesh.meter_status ms on ms.meter_id = c.meter_id
where c.state in ('sent', 'in_field') and c.next_try_at > %(now)s and ms.gateway_id is not null
group by ms.gateway_id

-- name: areas
-- How many meters an area has, and how many of them were switched on just now.
select m.tenant_id, coalesce(p.area, '') as area, count(*) as meters,
       count(*) filter (where exists (
           select from ohmesh.command c
           where c.meter_id = m.id and c.kind = %(kind)s and c.sent_at > %(since)s)) as recent
from ohmesh.meter m left join ohmesh.service_point p on p.id = m.service_point_id
where (m.tenant_id, coalesce(p.area, '')) in
      (select * from unnest(%(tenants)s::int[], %(areas)s::text[]))
group by 1, 2

-- name: next_counter
-- A database that was restored goes back, and a counter of the seal must not: the clock lifts it.
update ohmesh.meter_status set down_counter = greatest(down_counter, %(floor)s) + %(count)s
where meter_id = %(meter_id)s returning down_counter

-- name: image_blocks
select u.n as number, substring(f.image from u.n * %(size)s + 1 for %(size)s) as octets
from ohmesh.firmware f, unnest(%(numbers)s::int[]) as u(n)
where f.id = (select min(id) from ohmesh.firmware
              where tenant_id = %(tenant_id)s and sha256 = %(sha256)s)
order by u.n

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
set state = %(state)s, resolved_at = %(now)s, detail = %(detail)s
where id = %(id)s
