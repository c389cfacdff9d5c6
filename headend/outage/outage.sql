-- name: queue
select event_id, tenant_id, meter_id, lost, at, queued_at from bulk.outage_queue
order by at, event_id limit %(limit)s

-- name: done
delete from bulk.outage_queue where event_id = any(%(ids)s)

-- name: dark
-- Meters of a utility that are dark in an alarm.
select x.meter_id, x.lost_at
from ohmesh.alarm a join ohmesh.alarm_meter x on x.alarm_id = a.id and x.restored_at is null
where a.tenant_id = %(tenant)s and a.state <> 'closed'

-- name: elements
-- What every meter of a utility hangs on.
select m.id, m.name, p.transformer, p.feeder, g.name as gateway,
       case when m.address ~ '^mesh-[0-9a-f]{8}$'
            then ('x' || right(m.address, 8))::bit(32)::bigint end as node
from ohmesh.meter m
left join ohmesh.service_point p on p.id = m.service_point_id
left join ohmesh.meter_status s on s.meter_id = m.id
left join ohmesh.gateway g on g.id = s.gateway_id
where m.tenant_id = %(tenant)s

-- name: parents
-- The mesh at the time before the first loss: afterwards it has healed around what is dark.
select h.node, h.parent
from ohmesh.route_history h join ohmesh.gateway g on g.id = h.gateway_id
where g.tenant_id = %(tenant)s and h.from_ts <= %(at)s and (h.to_ts is null or h.to_ts > %(at)s)

-- name: open
insert into ohmesh.alarm as a (tenant_id, element_kind, element, first_at, last_at, opened_at, behind)
values (%(tenant)s, %(kind)s, %(element)s, %(first)s, %(last)s, %(now)s, %(behind)s)
on conflict (tenant_id, element_kind, element) where state <> 'closed' do update
set first_at = least(a.first_at, excluded.first_at), last_at = greatest(a.last_at, excluded.last_at),
    behind = excluded.behind
returning id

-- name: move
-- A meter is dark in one alarm only.
delete from ohmesh.alarm_meter x using ohmesh.alarm a
where a.id = x.alarm_id and a.tenant_id = %(tenant)s and x.meter_id = any(%(meters)s)
  and x.restored_at is null and x.alarm_id <> %(alarm)s

-- name: add
insert into ohmesh.alarm_meter as x (alarm_id, meter_id, lost_at)
select %(alarm)s, m, t from unnest(%(meters)s::int[], %(lost)s::timestamptz[]) u(m, t)
on conflict (alarm_id, meter_id) do update
set lost_at = case when x.restored_at is null then least(x.lost_at, excluded.lost_at) else excluded.lost_at end,
    restored_at = null

-- name: restore
-- What was lost before the restoration is lit again.
update ohmesh.alarm_meter x set restored_at = u.t
from unnest(%(meters)s::int[], %(at)s::timestamptz[]) u(m, t), ohmesh.alarm a
where a.id = x.alarm_id and a.state <> 'closed' and x.meter_id = u.m and x.restored_at is null
  and x.lost_at <= u.t

-- name: close_empty
-- Alarms without a dark meter: all are lit again, or another alarm explains them better.
update ohmesh.alarm a
set state = 'closed', closed_at = %(now)s,
    closed_by = case when exists (select from ohmesh.alarm_meter x where x.alarm_id = a.id)
                     then 'restoration' else 'merged' end
where a.tenant_id = any(%(tenants)s) and a.state <> 'closed'
  and not exists (select from ohmesh.alarm_meter x where x.alarm_id = a.id and x.restored_at is null)
returning a.id, a.tenant_id, a.element_kind, a.element, a.closed_by

-- name: note
insert into ohmesh.event (tenant_id, at, kind, detail)
values (%(tenant)s, %(now)s, %(kind)s, %(detail)s::jsonb)
