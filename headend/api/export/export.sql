-- What exports read. The tenant is named in every query although views and functions guard the
-- data too.

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
select p.meter_id, p.channel, p.times, p.amounts, p.flags
from api.readings_packed(%(meters)s::int[], %(channels)s::int[], %(from_ts)s, %(to_ts)s) p
