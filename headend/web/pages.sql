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

-- name: map_origin
select latitude, longitude from ohmesh.map_origin where tenant_id = %(tenant_id)s

-- name: set_map_origin
insert into ohmesh.map_origin (tenant_id, latitude, longitude)
values (%(tenant_id)s, %(latitude)s, %(longitude)s)
on conflict (tenant_id) do update set latitude = excluded.latitude, longitude = excluded.longitude

-- name: map_cells
-- Meters by cells of `cell_m` metres; a cell of one meter names it. `silent`: heard before, and not
-- for four of its intervals. `awaited`: never heard. `disconnected`: its relay was read back as open.
select floor(p.x_m / %(cell_m)s)::int as i, floor(p.y_m / %(cell_m)s)::int as j,
       avg(p.x_m)::float8 as x_m, avg(p.y_m)::float8 as y_m, count(*)::int as meters,
       count(*) filter (where s.last_seen
                              < %(now)s - 4 * m.interval_s * interval '1 second')::int as silent,
       count(*) filter (where s.last_seen is null)::int as awaited,
       count(*) filter (where s.relay = 0)::int as disconnected,
       case when count(*) = 1 then min(m.name) end as meter
from ohmesh.service_point p
join ohmesh.meter m on m.service_point_id = p.id and m.tenant_id = %(tenant_id)s
left join ohmesh.meter_status s on s.meter_id = m.id
where p.tenant_id = %(tenant_id)s and p.x_m between %(west_m)s and %(east_m)s
  and p.y_m between %(south_m)s and %(north_m)s
group by 1, 2
order by silent desc, disconnected desc, 1, 2
limit %(limit)s

-- name: map_bounds
select min(x_m)::float8 as west_m, max(x_m)::float8 as east_m, min(y_m)::float8 as south_m,
       max(y_m)::float8 as north_m, count(*)::int as places
from ohmesh.service_point where tenant_id = %(tenant_id)s and x_m is not null and y_m is not null

-- name: supplies
-- Prepaid supplies that are not simply on, those nearest to the dark first.
select a.name as account, m.name as meter, a.currency, s.state, s.kept::text as kept, s.reason,
       s.decided_at,
       coalesce((select sum(b.credits_mu - b.debits_mu) from ohmesh.account_balance b
                 where b.account_id = a.id and b.book = 'wallet'), 0)::bigint as balance_mu
from ohmesh.account a
join ohmesh.supply s on s.account_id = a.id
join ohmesh.meter m on m.id = a.meter_id
where a.tenant_id = %(tenant_id)s and s.state <> 'ACTIVE'
order by array_position(array['CUT_PENDING', 'RECONNECT_PENDING', 'OFF', 'ARMED', 'HOLD',
                              'PROTECTED', 'EMERGENCY', 'LOW'], s.state), a.name
limit %(limit)s
