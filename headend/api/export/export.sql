-- What exports read. The tenant is named in every query although the views guard the data too.

-- name: meters_after
select m.id, m.name
from ohmesh.meter m
left join ohmesh.meter_status s on s.meter_id = m.id
left join ohmesh.gateway g on g.id = s.gateway_id
where m.tenant_id = %(tenant_id)s and m.name > %(after)s
  and (%(names)s::text[] is null or m.name = any(%(names)s))
  and (%(prefix)s::text is null or starts_with(m.name, %(prefix)s))
  and (%(gateway)s::text is null or g.name = %(gateway)s)
order by m.name
limit %(limit)s

-- name: readings_packed
select r.meter_id, r.channel, string_agg(timestamptz_send(r.ts), ''::bytea) as times,
       string_agg(int8send(r.value), ''::bytea) as amounts,
       string_agg(int4send(r.status), ''::bytea) as flags
from api.reading r
where r.tenant_id = %(tenant_id)s and r.meter_id = any(%(meters)s) and r.channel = any(%(channels)s)
  and r.ts >= %(from_ts)s and r.ts < %(to_ts)s
group by r.meter_id, r.channel
order by r.meter_id, r.channel
