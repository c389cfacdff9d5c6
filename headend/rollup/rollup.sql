-- name: take
-- With the zone of each meter's service point: looked up here once for all that follows.
select d.id, d.meter_id, d.from_ts, d.to_ts, coalesce(p.zone, 'UTC') as zone
from (select * from bulk.rollup_due order by id limit %(limit)s) d
left join ohmesh.meter m on m.id = d.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
order by d.id

-- name: done
delete from bulk.rollup_due where id = any(%(ids)s)

-- name: hours
-- Whole local hours around each stretch, from the intervals that end in them. Lateral, so that every
-- stretch is a walk along a key, whatever the planner thinks of the tables' sizes.
with stretch as materialized (
    select u.m as meter, u.zone, unnest(range_agg(tstzrange(
        date_trunc('hour', u.f - interval '1 microsecond', u.zone),
        date_trunc('hour', u.t - interval '1 microsecond', u.zone) + interval '1 hour', '(]'))) as hours
    from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(zones)s::text[])
        u(m, f, t, zone)
    group by 1, 2
)
insert into bulk.rollup_hour as h (meter_id, channel, hour, total, intervals, measured, most)
select t.meter, s.channel, x.hour, x.total, x.intervals, x.measured, x.most
from stretch t
cross join lateral (select channel from bulk.series where meter_id = t.meter offset 0) s
cross join lateral (
    select date_trunc('hour', i.ts - interval '1 microsecond', t.zone) as hour, sum(i.value) as total,
           count(*) as intervals, count(*) filter (where i.quality & 24 = 0) as measured,
           max(i.value) as most
    from bulk.interval i
    where i.meter_id = t.meter and i.channel = s.channel
      and i.ts > lower(t.hours) and i.ts <= upper(t.hours)
    group by 1
) x
on conflict (meter_id, channel, hour) do update
set total = excluded.total, intervals = excluded.intervals, measured = excluded.measured,
    most = excluded.most
where (h.total, h.intervals, h.measured, h.most)
    is distinct from (excluded.total, excluded.intervals, excluded.measured, excluded.most)

-- name: days
with stretch as materialized (
    select distinct u.m as meter, u.zone, d.day
    from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(zones)s::text[])
        u(m, f, t, zone)
    cross join lateral (
        select ((u.f - interval '1 microsecond') at time zone u.zone)::date + n as day
        from generate_series(0, ((u.t - interval '1 microsecond') at time zone u.zone)::date
                              - ((u.f - interval '1 microsecond') at time zone u.zone)::date) n
    ) d
)
insert into bulk.rollup_day as r (meter_id, channel, day, total, intervals, measured, most)
select t.meter, s.channel, t.day, x.total, x.intervals, x.measured, x.most
from stretch t
cross join lateral (select channel from bulk.series where meter_id = t.meter offset 0) s
cross join lateral (
    select sum(h.total) as total, sum(h.intervals) as intervals, sum(h.measured) as measured,
           max(h.most) as most
    from bulk.rollup_hour h
    where h.meter_id = t.meter and h.channel = s.channel
      and h.hour >= t.day::timestamp at time zone t.zone
      and h.hour < (t.day + 1)::timestamp at time zone t.zone
    having count(*) > 0
) x
on conflict (meter_id, channel, day) do update
set total = excluded.total, intervals = excluded.intervals, measured = excluded.measured,
    most = excluded.most
where (r.total, r.intervals, r.measured, r.most)
    is distinct from (excluded.total, excluded.intervals, excluded.measured, excluded.most)

-- name: stale
-- Read success of a closed day is counted again when its readings changed.
update bulk.read_day r set stale = true
from (
    select distinct u.m as meter, ((u.f - interval '1 microsecond') at time zone u.zone)::date as low,
           ((u.t - interval '1 microsecond') at time zone u.zone)::date as high
    from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(zones)s::text[])
        u(m, f, t, zone)
) t
where r.meter_id = t.meter and r.day between t.low and t.high and not r.stale

-- name: months
with stretch as materialized (
    select distinct u.m as meter, d.month
    from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[], %(zones)s::text[])
        u(m, f, t, zone)
    cross join lateral generate_series(
        date_trunc('month', (u.f - interval '1 microsecond') at time zone u.zone),
        (u.t - interval '1 microsecond') at time zone u.zone, interval '1 month') d(month)
)
insert into bulk.rollup_month as r (meter_id, channel, month, total, intervals, measured, most)
select t.meter, s.channel, t.month::date, x.total, x.intervals, x.measured, x.most
from stretch t
cross join lateral (select channel from bulk.series where meter_id = t.meter offset 0) s
cross join lateral (
    select sum(d.total) as total, sum(d.intervals) as intervals, sum(d.measured) as measured,
           max(d.most) as most
    from bulk.rollup_day d
    -- As rows, which only the primary key can answer: never day by day through the index of days.
    where (d.meter_id, d.channel, d.day) >= (t.meter, s.channel, t.month::date)
      and (d.meter_id, d.channel, d.day) < (t.meter, s.channel, (t.month + interval '1 month')::date)
    having count(*) > 0
) x
on conflict (meter_id, channel, month) do update
set total = excluded.total, intervals = excluded.intervals, measured = excluded.measured,
    most = excluded.most
where (r.total, r.intervals, r.measured, r.most)
    is distinct from (excluded.total, excluded.intervals, excluded.measured, excluded.most)

-- name: learn
-- What is usual, from the days before the newest interval; once a day and series.
update bulk.series s
set learned_on = (s.last_ts at time zone 'UTC')::date, usual_max = h.usual_max,
    usual_day = h.usual_day, days = h.days
from bulk.series x
cross join lateral (
    select coalesce(max(d.most), 0) as usual_max, coalesce(avg(d.total)::bigint, 0) as usual_day,
           count(*)::int as days
    from bulk.rollup_day d
    where (d.meter_id, d.channel, d.day) >= (x.meter_id, x.channel, (x.last_ts at time zone 'UTC')::date - 30)
      and (d.meter_id, d.channel, d.day) < (x.meter_id, x.channel, (x.last_ts at time zone 'UTC')::date)
) h
where x.meter_id = any(%(meters)s) and x.learned_on < (x.last_ts at time zone 'UTC')::date
  and s.meter_id = x.meter_id and s.channel = x.channel

-- name: stale_gaps
-- Gaps are looked at again when readings of their time came.
update bulk.read_gap g set stale = true
from unnest(%(meters)s::int[], %(lows)s::timestamptz[], %(highs)s::timestamptz[]) u(m, f, t)
where g.meter_id = u.m and g.from_ts < u.t and g.to_ts > u.f and not g.stale
