-- name: groups
-- Utilities' zones, up to which day they are closed, and what their clock says: the newest interval,
-- or the time itself when the whole utility has been silent for two days.
select g.tenant_id, g.zone, c.day as closed, g.registered,
       max(g.newest) over (partition by g.tenant_id) as newest,
       max(g.seen) over (partition by g.tenant_id) as seen
from (
    select m.tenant_id, coalesce(p.zone, 'UTC') as zone, max(s.last_ts) as newest,
           max(t.last_seen) as seen, min(m.registered_at) as registered
    from ohmesh.meter m
    left join ohmesh.service_point p on p.id = m.service_point_id
    left join ohmesh.meter_status t on t.meter_id = m.id
    left join bulk.series s on s.meter_id = m.id
    group by 1, 2
) g
left join bulk.read_closing c on c.tenant_id = g.tenant_id and c.zone = g.zone
order by 1, 2

-- name: first_reading
-- One reading alone, such as a telegram tried on the bench, begins nothing: two within two days do.
select min(x.ts) as first from ohmesh.meter m
left join ohmesh.service_point p on p.id = m.service_point_id
cross join unnest(%(channels)s::int[]) c(id)
cross join lateral (
    select min(f.ts) as ts from (
        select r.ts from bulk.reading r
        where r.meter_id = m.id and r.channel = c.id and r.status & 41 = 0 order by r.ts limit 2
    ) f having max(f.ts) - min(f.ts) between interval '1 s' and interval '2 days'
) x
where m.tenant_id = %(tenant)s and coalesce(p.zone, 'UTC') = %(zone)s

-- name: channels
select id from ohmesh.channel where name = %(name)s

-- name: meters
-- Every meter of a group with what was read of a day. A slot is the number of an interval.
select m.id, m.name, m.interval_s, m.registered_at, m.address, t.gateway_id,
       (select min(f.ts) from unnest(%(channels)s::int[]) c(id)
        cross join lateral (
            select min(b.ts) as ts from (
                select r.ts from bulk.reading r
                where r.meter_id = m.id and r.channel = c.id and r.status & 41 = 0
                order by r.ts limit 2
            ) b having max(b.ts) - min(b.ts) between interval '1 s' and interval '2 days'
        ) f
        where m.registered_at > %(begin)s) as first,
       (select array_agg(distinct x.slot) from unnest(%(channels)s::int[]) c(id)
        cross join lateral (
            select ceil(extract(epoch from r.ts) / m.interval_s)::bigint as slot
            from bulk.reading r
            where r.meter_id = m.id and r.channel = c.id and r.status & 41 = 0
              and r.ts > %(begin)s::timestamptz - m.interval_s * interval '1 second' and r.ts <= %(end)s
        ) x) as slots
from ohmesh.meter m
left join ohmesh.service_point p on p.id = m.service_point_id
left join ohmesh.meter_status t on t.meter_id = m.id
where m.tenant_id = %(tenant)s and coalesce(p.zone, 'UTC') = %(zone)s
order by m.id

-- name: quarantined
select m.id as meter, floor(extract(epoch from q.received_at) / m.interval_s)::bigint as slot
from bulk.telegram_quarantine q join ohmesh.meter m on m.address = q.address
where q.resolved_at is null and m.id = any(%(meters)s)
  and q.received_at >= %(begin)s and q.received_at < %(end)s::timestamptz + interval '1 day'

-- name: rejected
select m.id as meter, ceil(extract(epoch from r.ts) / m.interval_s)::bigint as slot
from ohmesh.meter m
join bulk.reading r on r.meter_id = m.id and r.channel = any(%(channels)s) and r.status & 41 <> 0
    and r.ts > %(begin)s::timestamptz - m.interval_s * interval '1 second' and r.ts <= %(end)s
where m.id = any(%(meters)s)

-- name: archived
select distinct m.id as meter, floor(extract(epoch from t.received_at) / m.interval_s)::bigint as slot
from ohmesh.meter m
join bulk.telegram t on t.meter_id = m.id and t.kind = 0
    and t.received_at >= %(begin)s and t.received_at < %(end)s::timestamptz + interval '1 day'
where m.id = any(%(meters)s)

-- name: heard
select t.gateway_id as gateway, floor(extract(epoch from t.received_at) / 900)::bigint as step
from bulk.telegram t join ohmesh.gateway g on g.id = t.gateway_id and g.tenant_id = %(tenant)s
where t.received_at >= %(begin)s and t.received_at < %(end)s::timestamptz + interval '1 day'
group by 1, 2

-- name: archives
-- Whether telegrams are archived at all: an empty day says something only where they are.
select exists (
    select from bulk.telegram t join ohmesh.gateway g on g.id = t.gateway_id and g.tenant_id = %(tenant)s
    where t.received_at >= %(begin)s::timestamptz - interval '7 days'
      and t.received_at < %(end)s::timestamptz + interval '1 day') as archives

-- name: routes
select m.id as meter, h.gateway_id, h.parent, h.hops, h.from_ts, h.to_ts, r.id as relay
from ohmesh.meter m
join ohmesh.route_history h on m.address = 'mesh-' || lpad(to_hex(h.node), 8, '0')
    and h.from_ts <= %(end)s and (h.to_ts is null or h.to_ts > %(begin)s)
join ohmesh.gateway g on g.id = h.gateway_id and g.tenant_id = m.tenant_id
left join ohmesh.meter r on r.tenant_id = m.tenant_id
    and r.address = 'mesh-' || lpad(to_hex(h.parent), 8, '0')
where m.id = any(%(meters)s)
order by h.from_ts

-- name: save_days
insert into bulk.read_day (meter_id, day, gateway_id, hops, expected, on_time, stored, closed_at)
select m, %(day)s, g, h, e, r, r, %(now)s
from unnest(%(meters)s::int[], %(gateways)s::int[], %(hops)s::int[], %(expected)s::int[],
            %(reads)s::int[]) u(m, g, h, e, r)
on conflict do nothing

-- name: save_misses
insert into bulk.read_miss (meter_id, day, from_ts, to_ts, intervals, cause, gateway_id, node)
select m, %(day)s, f, t, n, c, g, d
from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(counts)s::int[],
            %(causes)s::text[], %(gateways)s::int[], %(nodes)s::bigint[]) u(m, f, t, n, c, g, d)
on conflict do nothing

-- name: save_closing
insert into bulk.read_closing (tenant_id, zone, day) values (%(tenant)s, %(zone)s, %(day)s)
on conflict (tenant_id, zone) do update set day = excluded.day

-- name: estimate
-- The day is over: validation may estimate what is missing in it, to its end.
insert into bulk.touched (meter_id, from_ts, to_ts, closes)
select m, %(begin)s::timestamptz, %(end)s::timestamptz, true from unnest(%(meters)s::int[]) m

-- name: totals
-- Whole days of a group's series with what is usual for them.
select d.meter_id, d.channel, d.total, s.usual_day, s.days
from bulk.rollup_day d
join bulk.series s on s.meter_id = d.meter_id and s.channel = d.channel
where d.day = %(day)s and d.meter_id = any(%(meters)s)
  and d.intervals * (select m.interval_s from ohmesh.meter m where m.id = d.meter_id) >= %(seconds)s

-- name: low
insert into bulk.vee_exception (meter_id, channel, rule, from_ts, to_ts, found, allowed, found_at)
select m, c, %(rule)s, %(begin)s, %(end)s, f, a, %(now)s
from unnest(%(meters)s::int[], %(channels)s::int[], %(found)s::bigint[], %(allowed)s::bigint[]) u(m, c, f, a)
on conflict do nothing

-- name: stale
select meter_id, day from bulk.read_day where stale order by meter_id, day limit %(limit)s

-- name: late
-- Slots of a miss that have been read by now.
with chosen as (
    select * from unnest(%(meters)s::int[], %(days)s::date[]) u(meter, day)
), counted as (
    select x.meter_id, x.day, x.from_ts, count(distinct ceil(extract(epoch from r.ts) / m.interval_s)) as late
    from chosen c
    join bulk.read_miss x on x.meter_id = c.meter and x.day = c.day
    join ohmesh.meter m on m.id = x.meter_id
    join bulk.reading r on r.meter_id = x.meter_id and r.channel = any(%(channels)s)
        and r.status & 41 = 0 and r.ts > x.from_ts and r.ts <= x.to_ts
    group by 1, 2, 3
)
update bulk.read_miss x set late = n.late
from counted n
where x.meter_id = n.meter_id and x.day = n.day and x.from_ts = n.from_ts and x.late <> n.late

-- name: fresh
update bulk.read_day r
set stale = false,
    stored = r.expected - coalesce((select sum(x.intervals - x.late) from bulk.read_miss x
                                    where x.meter_id = r.meter_id and x.day = r.day), 0)
from unnest(%(meters)s::int[], %(days)s::date[]) u(meter, day)
where r.meter_id = u.meter and r.day = u.day
