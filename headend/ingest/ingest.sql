-- name: gateways
select id, tenant_id, name from ohmesh.gateway where name = any(%(names)s)

-- name: open_progress
insert into ohmesh.gateway_progress (gateway_id, epoch, got)
select g, e, '{}'::int8multirange from unnest(%(gateways)s::int[], %(epochs)s::bigint[]) as u(g, e)
on conflict do nothing

-- name: lock_progress
select p.gateway_id, p.epoch from ohmesh.gateway_progress p
join unnest(%(gateways)s::int[], %(epochs)s::bigint[]) as u(g, e)
  on p.gateway_id = u.g and p.epoch = u.e
order by p.gateway_id, p.epoch for update of p

-- name: committed
-- What of each batch is in the store already, as half-open ranges.
select b.i, lower(r) as low, upper(r) as high
from unnest(%(batches)s::int[], %(gateways)s::int[], %(epochs)s::bigint[],
            %(firsts)s::bigint[], %(ends)s::bigint[]) as b(i, g, e, f, t)
join ohmesh.gateway_progress p on p.gateway_id = b.g and p.epoch = b.e
cross join lateral unnest(p.got * int8multirange(int8range(b.f, b.t))) as r

-- name: advance_progress
update ohmesh.gateway_progress p set got = p.got + n.ranges
from (select g, e, range_agg(int8range(f, t)) as ranges
      from unnest(%(gateways)s::int[], %(epochs)s::bigint[],
                  %(firsts)s::bigint[], %(ends)s::bigint[]) as u(g, e, f, t)
      group by g, e) n
where p.gateway_id = n.g and p.epoch = n.e
returning p.gateway_id, p.epoch,
    coalesce((select upper(r) from unnest(p.got) as r where r @> 0::bigint), 0) as through

-- Meters are looked up one by one along an index, whatever the planner thinks: a transaction's cost
-- must follow its telegrams, and not the fleet.

-- name: changed_meters
-- Which meters are not of the version that is known of them, or gone.
select u.m from unnest(%(meters)s::int[], %(versions)s::int[]) as u(m, v)
left join (select id, version from ohmesh.meter where id = any(%(meters)s::int[])) as k on k.id = u.m
where k.version is distinct from u.v

-- name: meters
-- counter_floor: the highest counter taken, null when none was.
select m.id, m.tenant_id, m.name, m.address, m.profile, m.version, m.key_sealed, m.market_keys_sealed,
       array_remove(array[m.next_key_sealed, m.old_key_sealed], null) as other_keys_sealed,
       case when m.market_keys_sealed is not null then
           (select upper(s.up_seen) - 1 from ohmesh.meter_status s where s.meter_id = m.id) end as counter_floor
from unnest(%(addresses)s::text[]) as u(a)
cross join lateral (select * from ohmesh.meter k where k.address = u.a limit 1) as m

-- name: lock_meters
select meter_id from ohmesh.meter_status where meter_id = any(%(meters)s::int[])
order by meter_id for update

-- name: seen_counters
select u.i from unnest(%(meters)s::int[], %(counters)s::bigint[]) with ordinality as u(m, c, i)
join ohmesh.meter_status s on s.meter_id = u.m
where s.up_seen @> u.c

-- name: touch_meters
-- A gateway's clock may be wrong: nobody is seen in the future, and the home is who heard it last.
update ohmesh.meter_status s
set gateway_id = case when s.last_seen is null or n.seen >= s.last_seen
                      then coalesce(n.home, s.gateway_id) else s.gateway_id end,
    last_seen = greatest(s.last_seen, n.seen),
    up_seen = s.up_seen + coalesce(n.counters, '{}'::int8multirange)
from (select u.*, c.counters
      from (select m, g as home, least(to_timestamp(t / 1000.0), now()) as seen
            from unnest(%(meters)s::int[], %(gateways)s::int[], %(seen_ms)s::bigint[]) as v(m, g, t)) u
      left join (select m, range_agg(int8range(c, c, '[]')) as counters
                 from unnest(%(sealed)s::int[], %(counters)s::bigint[]) as w(m, c)
                 group by m) c on c.m = u.m) n
where s.meter_id = n.m and s.meter_id = any(%(meters)s::int[])

-- name: channels
select id, name, obis, unit, scaler from ohmesh.channel where name = any(%(names)s)

-- name: add_channels
insert into ohmesh.channel (name, obis, unit, scaler)
select * from unnest(%(names)s::text[], %(obis)s::text[], %(units)s::text[], %(scalers)s::int[])
on conflict do nothing

-- name: copy_readings
copy bulk.reading (meter_id, channel, ts, value, status) from stdin (format binary)

-- name: copy_touched
copy bulk.touched (meter_id, from_ts, to_ts) from stdin (format binary)

-- name: make_staging
create temporary table if not exists staging
    (meter_id int, channel int, ts timestamptz, value bigint, status int) on commit delete rows

-- name: copy_staging
copy staging (meter_id, channel, ts, value, status) from stdin (format binary)

-- name: merge_staging
insert into bulk.reading (meter_id, channel, ts, value, status)
select meter_id, channel, ts, value, status from staging
order by meter_id, channel, ts
on conflict do nothing

-- name: copy_telegrams
copy bulk.telegram (received_at, gateway_id, epoch, seq, kind, source, meter_id, address, profile, payload)
from stdin (format binary)

-- name: direct_number
-- One number of the sequence is a million for telegrams: no transaction takes more of them.
select nextval('bulk.direct_seq') << 20 as first

-- name: quarantine
insert into bulk.telegram_quarantine (received_at, gateway_id, epoch, seq, kind, source, meter_id,
    address, profile, meter_version, reason, message, payload)
select * from unnest(%(received_at)s::timestamptz[], %(gateway_id)s::int[], %(epoch)s::bigint[],
    %(seq)s::bigint[], %(kind)s::smallint[], %(source)s::text[], %(meter_id)s::int[],
    %(address)s::text[], %(profile)s::text[], %(meter_version)s::int[], %(reason)s::text[],
    %(message)s::text[], %(payload)s::bytea[])

-- name: take_quarantined
-- Telegrams whose meter was registered or changed since decoding was last tried.
select q.id, q.received_at, q.gateway_id, g.tenant_id as gateway_tenant, q.epoch, q.seq, q.kind,
       q.source, q.address, q.profile, q.payload
from bulk.telegram_quarantine q
join ohmesh.meter m on m.address = q.address
left join ohmesh.gateway g on g.id = q.gateway_id
where q.resolved_at is null and q.meter_version <> m.version
order by q.id limit %(limit)s
for update of q skip locked

-- name: resolve
update bulk.telegram_quarantine set resolved_at = now() where id = any(%(ids)s)

-- name: still_quarantined
update bulk.telegram_quarantine q
set meter_id = m.id, meter_version = m.version, reason = u.r, message = u.t
from unnest(%(ids)s::bigint[], %(reasons)s::text[], %(messages)s::text[]) as u(i, r, t), ohmesh.meter m
where q.id = u.i and m.address = q.address

-- name: add_events
insert into ohmesh.event (tenant_id, meter_id, gateway_id, at, kind, detail)
select t, m, g, a, k, d::jsonb
from unnest(%(tenants)s::int[], %(meters)s::int[], %(gateways)s::int[], %(at)s::timestamptz[],
            %(kinds)s::text[], %(details)s::text[]) as u(t, m, g, a, k, d)

-- name: add_power_events
-- A gateway's word counts for meters of its own utility.
insert into ohmesh.event (tenant_id, meter_id, gateway_id, at, kind, detail)
select m.tenant_id, m.id, %(gateway)s, %(at)s, %(kind)s, '{"by": "mesh"}'
from ohmesh.meter m
where m.tenant_id = %(tenant)s and m.address = any(%(addresses)s)
order by m.id

-- name: drop_routes
delete from ohmesh.route where gateway_id = %(gateway)s and reported_at <= least(%(at)s, now())

-- name: add_routes
-- What is left after drop_routes is newer than this report.
insert into ohmesh.route (gateway_id, node, parent, etx_128ths, hops, reported_at)
select %(gateway)s, n, p, e, h, least(%(at)s, now())
from unnest(%(nodes)s::bigint[], %(parents)s::bigint[], %(etx)s::int[], %(hops)s::int[])
    as u(n, p, e, h)
where not exists (select from ohmesh.route where gateway_id = %(gateway)s)
on conflict do nothing

-- name: lock_commands
select id, tenant_id, meter_id, kind, state, body from ohmesh.command
where id = any(%(ids)s) order by id for update

-- name: end_command
update ohmesh.command
set state = %(state)s, resolved_at = now(), result_status = %(status)s, relay = %(relay)s,
    detail = %(detail)s, proof = %(proof)s
where id = %(id)s

-- name: want_more
-- Due at once, by whatever clock the worker goes.
update ohmesh.command set proof = %(proof)s, next_try_at = created_at
where id = %(id)s and state in ('sent', 'in_field')

-- name: activate_key
select ohmesh.activate_key(%(meter)s, %(id)s)

-- name: deliver_command
update ohmesh.command set state = %(state)s, detail = %(detail)s where id = %(id)s

-- name: set_relay
update ohmesh.meter_status
set relay = %(relay)s, relay_at = %(at)s, relay_counter = %(counter)s
where meter_id = %(meter)s and relay_counter < %(counter)s

-- name: set_state
insert into ohmesh.gateway_status (gateway_id, last_seen, state, state_at)
select g.id, now(), u.s, now()
from unnest(%(names)s::text[], %(states)s::text[]) as u(n, s) join ohmesh.gateway g on g.name = u.n
order by g.id
on conflict (gateway_id) do update set state = excluded.state, state_at = excluded.state_at

-- name: see_gateways
insert into ohmesh.gateway_status (gateway_id, last_seen)
select g, now() from unnest(%(gateways)s::int[]) as g order by g
on conflict (gateway_id) do update set last_seen = excluded.last_seen
