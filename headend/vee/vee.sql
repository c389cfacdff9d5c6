-- name: take
select id, meter_id, (extract(epoch from from_ts) * 1000000)::bigint - 946684800000000 as from_us,
       (extract(epoch from to_ts) * 1000000)::bigint - 946684800000000 as to_us, closes
from bulk.touched where meter_id <> all(%(avoid)s) order by id limit %(limit)s

-- name: done
delete from bulk.touched where id = any(%(ids)s)

-- name: meters
select m.id, m.interval_s, coalesce(p.zone, 'UTC') as zone
from ohmesh.meter m left join ohmesh.service_point p on p.id = m.service_point_id
where m.id = any(%(meters)s)

-- name: channels
select id, name, unit, scaler from ohmesh.channel where name = any(%(names)s)

-- name: readings
-- Per stretch and channel: what was touched, the last trusted reading before and the first behind,
-- at most 45 days away. A stretch that closes takes channels without a reading in it too. Lateral, so
-- that each is a walk along the key, whatever the planner thinks of how many there are. The reading
-- before is looked for nearby first: where partitions cannot be read in order, all within reach are
-- read; whichever reach answers, it is the same one.
copy (
    with stretch as materialized (
        select w, meter, timestamptz '2000-01-01+00' + low * interval '1 microsecond' as low,
               timestamptz '2000-01-01+00' + high * interval '1 microsecond' as high, closes
        from unnest(%(numbers)s::int[], %(meters)s::int[], %(lows)s::bigint[], %(highs)s::bigint[],
                    %(closes)s::bool[]) u(w, meter, low, high, closes)
    )
    select t.w, c.id, r.ts, r.value, r.status
    from stretch t
    cross join unnest(%(channels)s::int[]) c(id)
    cross join lateral (
        select min(x.ts) as first_ts, max(x.ts) as last_ts from bulk.reading x
        where x.meter_id = t.meter and x.channel = c.id and x.ts between t.low and t.high
    ) n
    left join lateral (
        select p.ts from unnest('{20 min, 1 day, 45 days}'::interval[]) w(reach)
        cross join lateral (
            select max(x.ts) as ts from bulk.reading x
            where x.meter_id = t.meter and x.channel = c.id and x.status & 41 = 0
              and x.ts < coalesce(n.first_ts, t.low) and x.ts >= coalesce(n.first_ts, t.low) - w.reach
        ) p
        where p.ts is not null and (n.first_ts is not null or t.closes)
        limit 1
    ) before on true
    left join lateral (
        select p.ts from unnest('{20 min, 1 day, 45 days}'::interval[]) w(reach)
        cross join lateral (
            select min(x.ts) as ts from bulk.reading x
            where x.meter_id = t.meter and x.channel = c.id and x.status & 41 = 0
              and x.ts > coalesce(n.last_ts, t.high) and x.ts <= coalesce(n.last_ts, t.high) + w.reach
        ) p
        where p.ts is not null and (n.last_ts is not null or t.closes)
        limit 1
    ) behind on true
    cross join lateral (
        select r.ts, r.value, r.status from bulk.reading r
        where r.meter_id = t.meter and r.channel = c.id
          and r.ts >= coalesce(before.ts, n.first_ts) and r.ts <= coalesce(behind.ts, n.last_ts, before.ts)
        offset 0
    ) r
    order by 1, 2, 3
) to stdout (format binary)

-- name: series
select s.meter_id, s.channel,
       (extract(epoch from s.last_ts) * 1000000)::bigint - 946684800000000 as last_us,
       s.usual_max, s.usual_day, s.days,
       coalesce((extract(epoch from s.zero_since) * 1000000)::bigint - 946684800000000, -1) as zero_us
from bulk.series s where s.meter_id = any(%(meters)s)

-- name: swaps
select w.meter_id, c.id as channel, w.old_close, w.new_open,
       (extract(epoch from w.at) * 1000000)::bigint - 946684800000000 as at_us
from ohmesh.meter_swap w join ohmesh.channel c on c.name = w.channel
where w.meter_id = any(%(meters)s)

-- name: past
-- Measured intervals of the weeks before each gap.
select g.n as gap, (extract(epoch from i.ts) * 1000000)::bigint - 946684800000000 as end_us, i.value
from unnest(%(numbers)s::int[], %(meters)s::int[], %(channels)s::int[], %(lows)s::bigint[],
            %(highs)s::bigint[]) g(n, meter, channel, low, high)
join bulk.interval i on i.meter_id = g.meter and i.channel = g.channel and i.quality & 24 = 0
    and i.ts > timestamptz '2000-01-01+00' + g.low * interval '1 microsecond'
    and i.ts <= timestamptz '2000-01-01+00' + g.high * interval '1 microsecond'

-- name: copy_intervals
copy bulk.interval (meter_id, channel, ts, value, length_s, quality, failed, method, version, made_at)
from stdin (format binary)

-- name: merge_intervals
-- What is new or different; the version before goes to its history. A person's edit stands against
-- validation (`force` is the person). The query plan must not depend on how many rows there are.
with n as materialized (
    select m as meter_id, c as channel, timestamptz '2000-01-01+00' + t * interval '1 microsecond' as ts,
           v as value, l as length_s, q as quality, f as failed, h as method
    from unnest(%(meters)s::int[], %(channels)s::int[], %(ends)s::bigint[], %(amounts)s::bigint[],
                %(lengths)s::int[], %(qualities)s::int[], %(failed)s::int[], %(methods)s::smallint[])
        as u(m, c, t, v, l, q, f, h)
), changed as materialized (
    select n.*, i.version as old
    from n left join bulk.interval i on i.meter_id = n.meter_id and i.channel = n.channel and i.ts = n.ts
    where i.meter_id is null
       or ((i.quality & 16 = 0 or %(force)s)
           and (i.value, i.length_s, i.quality, i.failed, i.method)
               is distinct from (n.value, n.length_s, n.quality, n.failed, n.method))
), kept as (
    insert into bulk.interval_version
    select i.*, %(now)s from changed c
    join bulk.interval i on i.meter_id = c.meter_id and i.channel = c.channel and i.ts = c.ts
)
insert into bulk.interval as i (meter_id, channel, ts, value, length_s, quality, failed, method,
                                version, made_at, author)
select meter_id, channel, ts, value, length_s, quality, failed, method, coalesce(old, 0) + 1,
       %(now)s, %(author)s
from changed
on conflict (meter_id, channel, ts) do update
set value = excluded.value, length_s = excluded.length_s, quality = excluded.quality,
    failed = excluded.failed, method = excluded.method, version = excluded.version,
    made_at = excluded.made_at, author = excluded.author

-- name: save_series
-- A series only ever grows at its end; zeros count where it grew.
insert into bulk.series as s (meter_id, channel, last_ts, learned_on, zero_since)
select m, c, timestamptz '2000-01-01+00' + e * interval '1 microsecond', '-infinity',
       case when z >= 0 then timestamptz '2000-01-01+00' + z * interval '1 microsecond' end
from unnest(%(meters)s::int[], %(channels)s::int[], %(ends)s::bigint[], %(zeros)s::bigint[])
    as u(m, c, e, z)
on conflict (meter_id, channel) do update
set last_ts = excluded.last_ts, zero_since = excluded.zero_since
where excluded.last_ts >= s.last_ts

-- name: save_slots
-- A day in which a meter's interval changed has no bits that can be added up: 0, it is counted
-- from its readings.
insert into bulk.read_slots as k (day, meter_id, interval_s, slots)
select date '1970-01-01' + d, m, i, b::bit varying
from unnest(%(days)s::int[], %(meters)s::int[], %(intervals_s)s::int[], %(bits)s::text[]) u(d, m, i, b)
order by d, m
on conflict (day, meter_id) do update
set interval_s = case k.interval_s when excluded.interval_s then k.interval_s else 0 end,
    slots = case k.interval_s when excluded.interval_s then k.slots | excluded.slots else k.slots end
where k.interval_s <> 0
  and case k.interval_s when excluded.interval_s then k.slots | excluded.slots <> k.slots else true end

-- name: due
insert into bulk.rollup_due (meter_id, from_ts, to_ts)
select m, timestamptz '2000-01-01+00' + f * interval '1 microsecond',
       timestamptz '2000-01-01+00' + t * interval '1 microsecond'
from unnest(%(meters)s::int[], %(lows)s::bigint[], %(highs)s::bigint[]) u(m, f, t)

-- name: find
insert into bulk.vee_exception as e (meter_id, channel, rule, from_ts, to_ts, found, allowed, found_at)
select m, c, r, timestamptz '2000-01-01+00' + f * interval '1 microsecond',
       timestamptz '2000-01-01+00' + t * interval '1 microsecond', v, a, %(now)s
from unnest(%(meters)s::int[], %(channels)s::int[], %(rules)s::smallint[], %(lows)s::bigint[],
            %(highs)s::bigint[], %(found)s::bigint[], %(allowed)s::bigint[]) as u(m, c, r, f, t, v, a)
on conflict (meter_id, channel, rule, from_ts) do update
set to_ts = excluded.to_ts, found = excluded.found, allowed = excluded.allowed,
    state = case e.state when 'gone' then 'open' else e.state end,
    found_at = case e.state when 'gone' then excluded.found_at else e.found_at end
where (e.to_ts, e.found, e.allowed) is distinct from (excluded.to_ts, excluded.found, excluded.allowed)
   or e.state = 'gone'

-- name: settle
-- Open exceptions inside what was looked at again and not found this time.
update bulk.vee_exception e
set state = 'gone', settled_at = %(now)s
from unnest(%(meters)s::int[], %(channels)s::int[], %(lows)s::bigint[], %(highs)s::bigint[])
    as u(m, c, f, t)
where e.meter_id = u.m and e.channel = u.c and e.state = 'open' and e.rule = any(%(rules)s)
  and e.from_ts >= timestamptz '2000-01-01+00' + u.f * interval '1 microsecond'
  and e.to_ts <= timestamptz '2000-01-01+00' + u.t * interval '1 microsecond'
  and not exists (
      select from unnest(%(found_meters)s::int[], %(found_channels)s::int[], %(found_rules)s::smallint[],
                         %(found_lows)s::bigint[]) as x(m, c, r, f)
      where x.m = e.meter_id and x.c = e.channel and x.r = e.rule
        and e.from_ts = timestamptz '2000-01-01+00' + x.f * interval '1 microsecond')
