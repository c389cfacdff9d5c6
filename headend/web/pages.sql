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
