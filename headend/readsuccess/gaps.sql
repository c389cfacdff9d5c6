-- name: clocks
-- What each utility's clock says: its newest interval and the time gone since anybody was heard.
select m.tenant_id as tenant, c.until, max(s.newest) as newest, max(t.last_seen) as seen
from ohmesh.meter m
left join ohmesh.meter_status t on t.meter_id = m.id
left join (select meter_id, max(last_ts) as newest from bulk.series group by 1) s on s.meter_id = m.id
left join bulk.read_checked c on c.tenant_id = m.tenant_id
group by 1, 2

-- name: missing
-- Slots with an END in (begin, end] that nothing was read of. Lateral, so that every slot is one
-- look along the primary key whatever the planner thinks; `limit 1` keeps it so.
select m.id, m.interval_s, t.gateway_id, array_agg(n.slot order by n.slot) as slots
from ohmesh.meter m
left join ohmesh.meter_status t on t.meter_id = m.id
cross join lateral generate_series(
    floor(extract(epoch from greatest(%(begin)s, m.registered_at)) / m.interval_s)::bigint + 1,
    floor(extract(epoch from %(end)s::timestamptz) / m.interval_s)::bigint) n(slot)
left join lateral (
    select true as read from bulk.reading r
    where r.meter_id = m.id and r.channel = any(%(channels)s) and r.status & 41 = 0
      and r.ts > to_timestamp((n.slot - 1) * m.interval_s) and r.ts <= to_timestamp(n.slot * m.interval_s)
      and r.ts > %(begin)s::timestamptz - interval '1 day' and r.ts <= %(end)s
    limit 1) x on true
where m.tenant_id = %(tenant)s and x.read is null
group by 1, 2, 3

-- name: save
-- A gap that goes on grows; anything else is a new one.
with found as (
    select * from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(counts)s::int[],
                         %(causes)s::text[], %(gateways)s::int[], %(nodes)s::bigint[]) u(m, f, t, n, c, g, d)
), grown as (
    update bulk.read_gap x set to_ts = u.t, intervals = x.intervals + u.n, stale = true
    from found u
    where x.meter_id = u.m and x.to_ts = u.f and x.cause = u.c and x.gateway_id is not distinct from u.g
      and x.node is not distinct from u.d
    returning u.m, u.f
)
insert into bulk.read_gap (meter_id, from_ts, to_ts, intervals, cause, gateway_id, node, found_at)
select u.m, u.f, u.t, u.n, u.c, u.g, u.d, %(now)s
from found u where not exists (select from grown w where w.m = u.m and w.f = u.f)
on conflict do nothing

-- name: checked
insert into bulk.read_checked (tenant_id, until) values (%(tenant)s, %(until)s)
on conflict (tenant_id) do update set until = excluded.until

-- name: stale
-- What is left of gaps to which something may have come: stretches of slots still not read. A gap
-- that is closed has one row without a stretch.
with chosen as materialized (
    select g.*, m.interval_s from bulk.read_gap g join ohmesh.meter m on m.id = g.meter_id
    where g.stale order by g.meter_id, g.from_ts limit %(limit)s
), missing as (
    select c.meter_id, c.from_ts, n.slot, n.slot - row_number() over (partition by c.meter_id, c.from_ts
                                                                      order by n.slot) as stretch
    from chosen c
    cross join lateral generate_series(floor(extract(epoch from c.from_ts) / c.interval_s)::bigint + 1,
                                       floor(extract(epoch from c.to_ts) / c.interval_s)::bigint) n(slot)
    left join lateral (
        select true as read from bulk.reading r
        where r.meter_id = c.meter_id and r.channel = any(%(channels)s) and r.status & 41 = 0
          and r.ts > to_timestamp((n.slot - 1) * c.interval_s) and r.ts <= to_timestamp(n.slot * c.interval_s)
        limit 1) x on true
    where x.read is null
)
select c.meter_id, c.from_ts, c.intervals, to_timestamp((min(m.slot) - 1) * c.interval_s) as low,
       to_timestamp(max(m.slot) * c.interval_s) as high, count(m.slot)::int as count
from chosen c left join missing m on m.meter_id = c.meter_id and m.from_ts = c.from_ts
group by c.meter_id, c.from_ts, c.intervals, c.interval_s, m.stretch
order by 1, 2, 4

-- name: fresh
update bulk.read_gap g set stale = false
from unnest(%(meters)s::int[], %(froms)s::timestamptz[]) u(m, f)
where g.meter_id = u.m and g.from_ts = u.f

-- name: split
-- What is left takes the place of the whole, with the cause that the whole had.
with gone as (
    select g.* from bulk.read_gap g
    join unnest(%(gone_meters)s::int[], %(gone_froms)s::timestamptz[]) u(m, f) on g.meter_id = u.m and g.from_ts = u.f
), cut as (
    delete from bulk.read_gap g using gone
    where g.meter_id = gone.meter_id and g.from_ts = gone.from_ts
)
select g.meter_id, g.cause, g.gateway_id, g.node, g.found_at, p.low, p.high, p.count
from unnest(%(meters)s::int[], %(froms)s::timestamptz[], %(lows)s::timestamptz[], %(highs)s::timestamptz[],
            %(counts)s::int[]) p(m, f, low, high, count)
join gone g on g.meter_id = p.m and g.from_ts = p.f

-- name: rest
insert into bulk.read_gap (meter_id, from_ts, to_ts, intervals, cause, gateway_id, node, found_at, stale)
select m, f, t, n, c, g, d, a, false
from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(counts)s::int[],
            %(causes)s::text[], %(gateways)s::int[], %(nodes)s::bigint[], %(found)s::timestamptz[])
     u(m, f, t, n, c, g, d, a)

-- name: forget
delete from bulk.read_gap g using ohmesh.meter m
where m.id = g.meter_id and m.tenant_id = %(tenant)s and g.to_ts < %(before)s
