-- What the API reads of alarms, service points and routes through time.

-- name: alarms
select a.id as alarm, a.kind, a.element_kind, a.element, a.state, a.first_at, a.last_at, a.opened_at,
       a.behind, x.dark, x.lit,
       coalesce((select array_agg(n.name order by n.name) from (
           select m.name from ohmesh.alarm_meter d join ohmesh.meter m on m.id = d.meter_id
           where d.alarm_id = a.id and d.restored_at is null order by m.name limit 1000) n),
           '{}'::text[]) as meters,
       a.acknowledged_at, a.acknowledged_by, a.closed_at, a.closed_by, a.note
from ohmesh.alarm a
cross join lateral (
    select count(*) filter (where d.restored_at is null) as dark,
           count(*) filter (where d.restored_at is not null) as lit
    from ohmesh.alarm_meter d where d.alarm_id = a.id
) x
where a.tenant_id = %(tenant_id)s
  and (%(id)s::bigint is null or a.id = %(id)s)
  and (%(state)s::text is null or a.state = %(state)s)
  and (%(before)s::bigint is null or a.id < %(before)s)
order by a.id desc
limit %(limit)s

-- name: lock_alarm
select state from ohmesh.alarm where tenant_id = %(tenant_id)s and id = %(id)s for update

-- name: acknowledge
update ohmesh.alarm set state = 'acknowledged', acknowledged_at = %(now)s, acknowledged_by = %(who)s,
    note = %(note)s
where id = %(id)s

-- name: close
update ohmesh.alarm set state = 'closed', closed_at = %(now)s, closed_by = %(who)s, note = %(note)s
where id = %(id)s

-- name: service_points
select p.name as service_point, p.zone, round(p.x_m::numeric, 2)::float8 as x_m,
       round(p.y_m::numeric, 2)::float8 as y_m, p.transformer, p.feeder, nullif(p.area, '') as area,
       (select count(*) from ohmesh.meter m where m.service_point_id = p.id) as meters
from ohmesh.service_point p
where p.tenant_id = %(tenant_id)s and p.name > %(after)s
  and (%(name)s::text is null or p.name = %(name)s)
  and (%(transformer)s::text is null or p.transformer = %(transformer)s)
  and (%(feeder)s::text is null or p.feeder = %(feeder)s)
order by p.name
limit %(limit)s

-- name: connect
update ohmesh.service_point set transformer = %(transformer)s, feeder = %(feeder)s
where tenant_id = %(tenant_id)s and name = %(name)s
returning id

-- name: routes
select g.name as gateway, h.node, h.parent, r.name as parent_id, h.hops, h.etx_128ths,
       h.from_ts as since, h.to_ts as until
from ohmesh.meter m
join ohmesh.route_history h on m.address = 'mesh-' || lpad(to_hex(h.node), 8, '0')
join ohmesh.gateway g on g.id = h.gateway_id and g.tenant_id = %(tenant_id)s
left join ohmesh.meter r on r.tenant_id = %(tenant_id)s
    and r.address = 'mesh-' || lpad(to_hex(h.parent), 8, '0')
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s
  and (%(before)s::timestamptz is null or h.from_ts < %(before)s)
order by h.from_ts desc
limit %(limit)s

-- name: topology_at
-- The mesh as it was: of a node in several gateways' reports the newest counts.
with then_ as (
    select distinct on (h.node) h.node, h.gateway_id, h.parent, h.hops, h.etx_128ths, h.from_ts
    from ohmesh.route_history h join ohmesh.gateway g on g.id = h.gateway_id
    where g.tenant_id = %(tenant_id)s and h.from_ts <= %(at)s and (h.to_ts is null or h.to_ts > %(at)s)
    order by h.node, h.from_ts desc
)
select g.node, 'gateway' as kind, g.name as id, g.name as gateway, null::bigint as parent, 0 as hops,
       null::int as etx_128ths, null::timestamptz as reported_at, null::timestamptz as last_seen,
       null::int as behind, round(g.x_m::numeric, 2)::float8 as x_m, round(g.y_m::numeric, 2)::float8 as y_m
from ohmesh.gateway g where g.tenant_id = %(tenant_id)s and g.node is not null
union all
select t.node, case when m.id is null then 'unknown' else 'meter' end, m.name, g.name, t.parent, t.hops,
       t.etx_128ths, t.from_ts, null, null,
       round(p.x_m::numeric, 2)::float8, round(p.y_m::numeric, 2)::float8
from then_ t
join ohmesh.gateway g on g.id = t.gateway_id
left join ohmesh.meter m on m.tenant_id = %(tenant_id)s
    and m.address = 'mesh-' || lpad(to_hex(t.node), 8, '0')
left join ohmesh.service_point p on p.id = m.service_point_id
where t.node not in (select node from ohmesh.gateway where tenant_id = %(tenant_id)s and node is not null)
order by 1
limit %(limit)s

-- name: billing_mark
select billed_to, set_by, set_at from ohmesh.billing_mark where tenant_id = %(tenant_id)s

-- name: set_billing_mark
insert into ohmesh.billing_mark as b (tenant_id, billed_to, set_by, set_at)
values (%(tenant_id)s, %(billed_to)s, %(who)s, %(now)s)
on conflict (tenant_id) do update
set billed_to = excluded.billed_to, set_by = excluded.set_by, set_at = excluded.set_at
where excluded.billed_to > b.billed_to
