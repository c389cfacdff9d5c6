-- What only pages show. The tenant is named in every query although the views guard the data too.

-- name: hours
-- The energy of each hour of one meter's channel, from validated intervals.
select h.hour, h.total, h.measured = h.intervals as measured
from api.interval_hour h
where h.tenant_id = %(tenant_id)s and h.meter_id = %(meter_id)s and h.channel = %(channel)s
  and h.hour >= %(from_ts)s and h.hour < %(to_ts)s
order by h.hour

-- name: newest_telegrams
select t.received_at, t.source, t.profile, octet_length(t.payload) as octets,
       encode(substring(t.payload for 512), 'hex') as payload_hex
from api.telegram t
where t.tenant_id = %(tenant_id)s and t.meter_id = %(meter_id)s
  and t.received_at > %(since)s
order by t.received_at desc
limit 3

-- name: exception_rules
select e.rule, count(*) as exceptions, count(distinct e.meter_id) as meters
from api.vee_exception e
where e.tenant_id = %(tenant_id)s and e.state = 'open'
group by e.rule order by 2 desc, 1

-- name: open_exceptions
select e.id, m.name as meter, c.name as channel, c.scaler, c.unit, e.rule, e.from_ts, e.to_ts,
       e.found, e.allowed, e.found_at, coalesce(p.zone, 'UTC') as zone
from api.vee_exception e
join ohmesh.meter m on m.id = e.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
join ohmesh.channel c on c.id = e.channel
where e.tenant_id = %(tenant_id)s and e.state = 'open' and m.tenant_id = %(tenant_id)s
  and (%(rule)s::int is null or e.rule = %(rule)s)
order by abs(coalesce(e.found, 0) - coalesce(e.allowed, 0)) desc, e.id
limit %(limit)s

-- name: find_exception
select e.id, m.name as meter, c.name as channel, e.rule, e.from_ts, e.to_ts
from api.vee_exception e
join ohmesh.meter m on m.id = e.meter_id
join ohmesh.channel c on c.id = e.channel
where e.tenant_id = %(tenant_id)s and m.tenant_id = %(tenant_id)s and e.id = %(id)s
