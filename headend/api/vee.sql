-- What the API reads and asks of validation. Columns as the structs of vee_views.py.

-- name: intervals
select c.name as channel, i.ts as time, i.length_s, i.value, c.scaler, c.unit, i.quality, i.failed,
       i.method, i.version, i.made_at, i.author, null::timestamptz as replaced_at, i.channel as number
from api.interval i join ohmesh.channel c on c.id = i.channel
where i.tenant_id = %(tenant_id)s and i.meter_id = %(meter_id)s and i.channel = any(%(channels)s)
  and i.ts > %(from_ts)s and i.ts <= %(to_ts)s
  and (i.ts, i.channel) > (%(after_ts)s, %(after_channel)s)
order by i.ts, i.channel
limit %(limit)s

-- name: versions
select * from (
    select c.name as channel, i.ts as time, i.length_s, i.value, c.scaler, c.unit, i.quality, i.failed,
           i.method, i.version, i.made_at, i.author, null::timestamptz as replaced_at,
           i.channel as number
    from api.interval i join ohmesh.channel c on c.id = i.channel
    where i.tenant_id = %(tenant_id)s and i.meter_id = %(meter_id)s and i.channel = any(%(channels)s)
      and i.ts > %(from_ts)s and i.ts <= %(to_ts)s
    union all
    select c.name, i.ts, i.length_s, i.value, c.scaler, c.unit, i.quality, i.failed, i.method,
           i.version, i.made_at, i.author, i.replaced_at, i.channel
    from api.interval_version i join ohmesh.channel c on c.id = i.channel
    where i.tenant_id = %(tenant_id)s and i.meter_id = %(meter_id)s and i.channel = any(%(channels)s)
      and i.ts > %(from_ts)s and i.ts <= %(to_ts)s
) x
where (x.time, x.number, x.version) > (%(after_ts)s, %(after_channel)s, %(after_version)s)
order by x.time, x.number, x.version
limit %(limit)s

-- name: totals_hour
select c.name as channel, r.hour as begin, (r.hour at time zone %(zone)s)::date as day, r.total,
       c.scaler, c.unit, r.intervals, r.measured, r.most, r.channel as number
from api.interval_hour r join ohmesh.channel c on c.id = r.channel
where r.tenant_id = %(tenant_id)s and r.meter_id = %(meter_id)s and r.channel = any(%(channels)s)
  and r.hour >= %(from_ts)s and r.hour < %(to_ts)s
  and (r.hour, r.channel) > (%(after_ts)s, %(after_channel)s)
order by 2, 10
limit %(limit)s

-- name: totals_day
select * from (
    select c.name as channel, r.day::timestamp at time zone %(zone)s as begin, r.day, r.total,
           c.scaler, c.unit, r.intervals, r.measured, r.most, r.channel as number
    from api.interval_day r join ohmesh.channel c on c.id = r.channel
    where r.tenant_id = %(tenant_id)s and r.meter_id = %(meter_id)s and r.channel = any(%(channels)s)
      and r.day >= (%(from_ts)s at time zone %(zone)s)::date
      and r.day <= (%(to_ts)s at time zone %(zone)s)::date
) x
where x.begin >= %(from_ts)s and x.begin < %(to_ts)s
  and (x.begin, x.number) > (%(after_ts)s, %(after_channel)s)
order by x.begin, x.number
limit %(limit)s

-- name: totals_month
select * from (
    select c.name as channel, r.month::timestamp at time zone %(zone)s as begin, r.month as day,
           r.total, c.scaler, c.unit, r.intervals, r.measured, r.most, r.channel as number
    from api.interval_month r join ohmesh.channel c on c.id = r.channel
    where r.tenant_id = %(tenant_id)s and r.meter_id = %(meter_id)s and r.channel = any(%(channels)s)
) x
where x.begin >= %(from_ts)s and x.begin < %(to_ts)s
  and (x.begin, x.number) > (%(after_ts)s, %(after_channel)s)
order by x.begin, x.number
limit %(limit)s

-- name: exceptions
select e.id, m.name as meter, c.name as channel, e.rule, e.from_ts as period_from,
       e.to_ts as period_to, e.found, e.allowed, e.state, e.found_at, e.settled_at, e.settled_by
from api.vee_exception e
join ohmesh.meter m on m.id = e.meter_id
join ohmesh.channel c on c.id = e.channel
where e.tenant_id = %(tenant_id)s
  and (%(before)s::bigint is null or e.id < %(before)s)
  and (%(state)s::text is null or e.state = %(state)s)
  and (%(rule)s::int is null or e.rule = %(rule)s)
  and (%(meter)s::text is null or m.name = %(meter)s)
order by e.id desc
limit %(limit)s

-- name: edits
select e.id, m.name as meter, e.channel, e.kind, e.from_ts as period_from, e.to_ts as period_to,
       e.amounts as values, e.reason, e.author, e.asked_at, e.state, e.intervals, e.detail, e.done_at
from ohmesh.interval_edit e join ohmesh.meter m on m.id = e.meter_id
where e.tenant_id = %(tenant_id)s
  and (%(id)s::uuid is null or e.id = %(id)s)
  and (%(state)s::text is null or e.state = %(state)s)
  and (%(meter)s::text is null or m.name = %(meter)s)
  and (%(before_at)s::timestamptz is null or (e.asked_at, e.id) < (%(before_at)s, %(before_id)s))
order by e.asked_at desc, e.id desc
limit %(limit)s

-- name: add_edit
insert into ohmesh.interval_edit (id, tenant_id, meter_id, channel, kind, from_ts, to_ts, amounts, reason,
                                  author, idempotency_key, asked_at)
values (%(id)s, %(tenant_id)s, %(meter_id)s, %(channel)s, %(kind)s, %(from_ts)s, %(to_ts)s,
        %(amounts)s::bigint[], %(reason)s, %(author)s, %(key)s, %(now)s)
on conflict do nothing
returning id

-- name: add_swap
insert into ohmesh.meter_swap (tenant_id, meter_id, channel, at, old_close, new_open, author)
values (%(tenant_id)s, %(meter_id)s, %(channel)s, %(at)s, %(old_close)s, %(new_open)s, %(author)s)
on conflict do nothing
returning id

-- name: swaps
select m.name as meter, w.channel, w.at, w.old_close, w.new_open
from ohmesh.meter_swap w join ohmesh.meter m on m.id = w.meter_id
where w.tenant_id = %(tenant_id)s and w.meter_id = %(meter_id)s
  and (%(before)s::timestamptz is null or w.at < %(before)s)
order by w.at desc, w.channel limit %(limit)s

-- name: swap
select m.name as meter, w.channel, w.at, w.old_close, w.new_open
from ohmesh.meter_swap w join ohmesh.meter m on m.id = w.meter_id
where w.tenant_id = %(tenant_id)s and w.meter_id = %(meter_id)s and w.channel = %(channel)s
  and w.at = %(at)s

-- name: usage_daily
-- The fleet by local day: each meter's day by the clock of its own zone. Added up before anything
-- is joined to it, so that nothing is sorted.
select c.name as channel, x.day, x.meters, x.total, c.scaler, c.unit, x.intervals, x.measured
from (
    select r.day, r.channel, count(*) as meters, sum(r.total)::bigint as total,
           sum(r.intervals)::bigint as intervals, sum(r.measured)::bigint as measured
    from api.interval_day r
    where r.tenant_id = %(tenant_id)s and r.day >= %(first)s and r.day <= %(last)s
      and r.channel = any (array(select k.id from ohmesh.channel k where k.name = %(channel)s))
    group by r.day, r.channel
) x
join ohmesh.channel c on c.id = x.channel
order by x.day, c.id
