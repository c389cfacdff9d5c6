-- Read success of closed days, as the API's role sees it: one tenant.

-- name: days
select r.day, count(*) as meters, sum(r.expected)::bigint as expected, sum(r.on_time)::bigint as on_time,
       sum(r.stored)::bigint as stored
from api.read_day r
where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s
group by r.day order by r.day

-- name: causes
select r.day, r.cause, sum(r.intervals)::bigint as intervals, sum(r.late)::bigint as late
from api.read_miss r
where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s
group by 1, 2 order by 1, 2

-- name: gateways
select g.name as gateway, count(distinct r.meter_id) as meters, sum(r.expected)::bigint as expected,
       sum(r.on_time)::bigint as on_time, sum(r.stored)::bigint as stored
from api.read_day r left join ohmesh.gateway g on g.id = r.gateway_id
where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s
group by 1 order by 1 nulls last

-- name: hops
-- Hops are known of meters that missed something: of the others their way was not looked up.
select r.hops, count(distinct r.meter_id) as meters, sum(r.intervals)::bigint as missed
from (
    select m.meter_id, m.intervals, d.hops
    from api.read_miss m
    join api.read_day d on d.meter_id = m.meter_id and d.day = m.day and d.tenant_id = %(tenant_id)s
    where m.tenant_id = %(tenant_id)s and m.day >= %(first)s and m.day <= %(last)s
) r
group by 1 order by 1 nulls last

-- name: worst
select m.name as meter, sum(r.expected)::bigint as expected, sum(r.on_time)::bigint as on_time,
       sum(r.stored)::bigint as stored
from api.read_day r join ohmesh.meter m on m.id = r.meter_id
where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s
group by 1 having sum(r.on_time) < sum(r.expected)
order by sum(r.on_time) - sum(r.expected), 1 limit %(limit)s

-- name: components
-- Which component caused misses on which days: candidates for a run of failing days.
select 'gateway' as kind, g.name as component, array_agg(distinct r.day) as days
from api.read_miss r join ohmesh.gateway g on g.id = r.gateway_id
where r.tenant_id = %(tenant_id)s and r.cause = 'gateway' and r.day > %(last)s::date - %(back)s
  and r.day <= %(last)s
group by 1, 2
union all
select 'relay', coalesce(m.name, 'node ' || r.node), array_agg(distinct r.day)
from api.read_miss r
left join ohmesh.meter m on m.address = 'mesh-' || lpad(to_hex(r.node), 8, '0') and m.tenant_id = %(tenant_id)s
where r.tenant_id = %(tenant_id)s and r.cause = 'hop' and r.day > %(last)s::date - %(back)s
  and r.day <= %(last)s
group by 1, 2
union all
select 'meter', m.name, array_agg(distinct r.day)
from api.read_miss r join ohmesh.meter m on m.id = r.meter_id
where r.tenant_id = %(tenant_id)s and r.cause = 'meter' and r.day > %(last)s::date - %(back)s
  and r.day <= %(last)s
group by 1, 2

-- name: newest_day
select max(r.day) as day from api.read_day r where r.tenant_id = %(tenant_id)s

-- name: misses
select m.name as meter, r.day, r.from_ts as period_from, r.to_ts as period_to, r.intervals, r.late,
       r.cause, g.name as gateway, r.node, r.meter_id as number
from api.read_miss r
join ohmesh.meter m on m.id = r.meter_id
left join ohmesh.gateway g on g.id = r.gateway_id
where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s
  and (%(cause)s::text is null or r.cause = %(cause)s)
  and (%(meter)s::text is null or m.name = %(meter)s)
  and (%(gateway)s::text is null or g.name = %(gateway)s)
  and (r.from_ts, r.meter_id) > (%(after_ts)s, %(after_meter)s)
order by r.from_ts, r.meter_id
limit %(limit)s

-- name: gaps
-- What is missing now.
select m.name as meter, r.from_ts as period_from, r.to_ts as period_to, r.intervals, r.cause,
       g.name as gateway, r.node, r.found_at as listed_at, r.meter_id as number
from api.read_gap r
join ohmesh.meter m on m.id = r.meter_id
left join ohmesh.gateway g on g.id = r.gateway_id
where r.tenant_id = %(tenant_id)s
  and (%(cause)s::text is null or r.cause = %(cause)s)
  and (%(meter)s::text is null or m.name = %(meter)s)
  and (%(gateway)s::text is null or g.name = %(gateway)s)
  and (r.from_ts, r.meter_id) > (%(after_ts)s, %(after_meter)s)
order by r.from_ts, r.meter_id
limit %(limit)s

-- name: gap_causes
select r.cause, count(distinct r.meter_id) as meters, sum(r.intervals)::bigint as intervals
from api.read_gap r where r.tenant_id = %(tenant_id)s
group by 1 order by 1

-- name: overdue
-- Series whose next interval should have come: its END and a quarter of an hour have passed by the
-- clock of the utility's data. A series that has been silent for 45 days is no longer listed.
select m.name as meter, s.last_ts as last, m.interval_s, g.name as gateway, x.clock,
       (extract(epoch from x.clock - s.last_ts) / m.interval_s)::int as missing, m.id as number
from api.series s
join ohmesh.meter m on m.id = s.meter_id and m.tenant_id = %(tenant_id)s
join ohmesh.channel c on c.id = s.channel and c.name = %(name)s
left join ohmesh.meter_status t on t.meter_id = m.id
left join ohmesh.gateway g on g.id = t.gateway_id
cross join (select least(max(n.last_ts), %(now)s) as clock from api.series n where n.tenant_id = %(tenant_id)s) x
where s.tenant_id = %(tenant_id)s
  and s.last_ts < x.clock - m.interval_s * interval '1 second' - interval '15 minutes'
  and s.last_ts > x.clock - interval '45 days'
  and m.name > %(after)s
order by m.name limit %(limit)s

-- name: raw
-- Everything that the definition needs, and nothing that the head-end has worked out: for checking.
select m.id, m.name, m.interval_s, m.registered_at, coalesce(p.zone, 'UTC') as zone,
       (select array_agg(r.ts) from api.reading r
        where r.tenant_id = %(tenant_id)s and r.meter_id = m.id and r.channel = any(%(channels)s)
          and r.status & 41 = 0 and r.ts > %(low)s and r.ts <= %(high)s) as times,
       (select min(r.ts) from unnest(%(channels)s::int[]) c(id)
        cross join lateral (
            select min(b.ts) as ts from (
                select x.ts from api.reading x
                where x.tenant_id = %(tenant_id)s and x.meter_id = m.id and x.channel = c.id
                  and x.status & 41 = 0 order by x.ts limit 2
            ) b having max(b.ts) - min(b.ts) between interval '1 s' and interval '2 days') r) as first
from ohmesh.meter m left join ohmesh.service_point p on p.id = m.service_point_id
where m.tenant_id = %(tenant_id)s and m.name > %(after)s
order by m.name limit %(limit)s

-- name: table
select m.name, r.day, r.expected, r.stored
from api.read_day r join ohmesh.meter m on m.id = r.meter_id
where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s

-- name: channels
select id from ohmesh.channel where name = %(name)s
