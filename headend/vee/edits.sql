-- name: asked
select e.*, m.interval_s, coalesce(p.zone, 'UTC') as zone,
       (extract(epoch from e.from_ts) * 1000000)::bigint - 946684800000000 as from_us,
       (extract(epoch from e.to_ts) * 1000000)::bigint - 946684800000000 as to_us,
       (select max(s.usual_day) from bulk.series s join ohmesh.channel c on c.id = s.channel
        where s.meter_id = e.meter_id and c.name = e.channel) as usual_day
from ohmesh.interval_edit e
join ohmesh.meter m on m.id = e.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
where e.state = 'asked'
order by e.asked_at, e.id limit %(limit)s

-- name: settle
update ohmesh.interval_edit
set state = %(state)s, detail = %(detail)s, intervals = %(intervals)s, done_at = %(now)s
where id = %(id)s

-- name: channel
-- The series of a name that was heard last.
select s.channel from bulk.series s join ohmesh.channel c on c.id = s.channel
where s.meter_id = %(meter)s and c.name = %(name)s
order by s.last_ts desc limit 1

-- name: around
select (extract(epoch from i.ts) * 1000000)::bigint - 946684800000000 as end_us, i.value, i.quality
from bulk.interval i
where i.meter_id = %(meter)s and i.channel = %(channel)s
  and i.ts > timestamptz '2000-01-01+00' + %(low)s * interval '1 microsecond'
  and i.ts <= timestamptz '2000-01-01+00' + %(high)s * interval '1 microsecond'

-- name: accept
update bulk.vee_exception e
set state = 'accepted', settled_at = %(now)s, settled_by = %(author)s
from ohmesh.channel c
where c.id = e.channel and c.name = %(channel)s and e.meter_id = %(meter)s and e.state = 'open'
  and e.from_ts >= %(low)s and e.to_ts <= %(high)s

-- name: edited
update bulk.vee_exception e
set state = 'edited', settled_at = %(now)s, settled_by = %(author)s
from ohmesh.channel c
where c.id = e.channel and c.name = %(channel)s and e.meter_id = %(meter)s and e.state = 'open'
  and e.from_ts >= %(low)s and e.to_ts <= %(high)s

-- name: revert
-- The value stays as an estimate until validation has looked again, which it does at once.
with held as (
    select i.* from bulk.interval i join ohmesh.channel c on c.id = i.channel
    where i.meter_id = %(meter)s and c.name = %(channel)s and i.ts > %(low)s and i.ts <= %(high)s
      and i.quality & 16 <> 0
    for update of i
), kept as (
    insert into bulk.interval_version select held.*, %(now)s from held
)
update bulk.interval i
set quality = i.quality & ~16 | 8, version = i.version + 1, made_at = %(now)s, author = %(author)s
from held
where i.meter_id = held.meter_id and i.channel = held.channel and i.ts = held.ts

-- name: touch
insert into bulk.touched (meter_id, from_ts, to_ts, closes) values (%(meter)s, %(low)s, %(high)s, true)

-- name: due
insert into bulk.rollup_due (meter_id, from_ts, to_ts) values (%(meter)s, %(low)s, %(high)s)
