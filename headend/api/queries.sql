-- What the API reads. Columns are named and ordered as the structs of views.py.
-- The tenant is named in every query although row-level security guards the tables too.
-- A parameter that is null does not filter.

-- name: meters
select m.name as meter, m.address, m.profile, m.interval_s, m.registered_at,
       m.key_sealed is not null as sealed,
       p.name as service_point, coalesce(p.zone, 'UTC') as zone,
       round(p.x_m::numeric, 2)::float8 as x_m, round(p.y_m::numeric, 2)::float8 as y_m,
       g.name as gateway, r.hops, s.last_seen, s.relay, s.relay_at, a.name as account, m.version
from ohmesh.meter m
left join ohmesh.service_point p on p.id = m.service_point_id
left join ohmesh.meter_status s on s.meter_id = m.id
left join ohmesh.gateway g on g.id = s.gateway_id
left join ohmesh.route r on r.gateway_id = s.gateway_id
    and r.node = case when m.address ~ '^mesh-[0-9a-f]{8}$'
                      then ('x' || right(m.address, 8))::bit(32)::bigint end
left join ohmesh.account a on a.meter_id = m.id
where m.tenant_id = %(tenant_id)s
  and m.name >= %(first)s and m.name <= %(last)s and m.name > %(after)s
  and (%(prefix)s::text is null or starts_with(m.name, %(prefix)s))
  and (%(profile)s::text is null or m.profile = %(profile)s)
  and (%(gateway)s::text is null or g.name = %(gateway)s)
  and (%(silent_since)s::timestamptz is null
       or coalesce(s.last_seen, '-infinity') < %(silent_since)s)
  and (%(feeder)s::text is null or p.feeder = %(feeder)s)
  and (%(group)s::text is null or m.id in (
      select x.meter_id from ohmesh.meter_group k
      join ohmesh.meter_group_member x on x.group_id = k.id
      where k.tenant_id = %(tenant_id)s and k.name = %(group)s))
order by m.name
limit %(limit)s

-- name: find_meter_id
select m.id, m.interval_s, coalesce(p.zone, 'UTC') as zone
from ohmesh.meter m left join ohmesh.service_point p on p.id = m.service_point_id
where m.tenant_id = %(tenant_id)s and m.name = %(name)s

-- name: channels
select id, name, unit, scaler from ohmesh.channel

-- name: meter_and_channels
-- One row a channel; at least one when there is the meter.
select m.id as meter_id, c.id, c.name, c.unit, c.scaler
from ohmesh.meter m left join ohmesh.channel c on true
where m.tenant_id = %(tenant_id)s and m.name = %(name)s

-- name: readings_up
-- Channel by channel along the primary key, then merged: the cost follows the page, not the range.
-- One row of columns: a client builds ten thousand rows in twice the time of four arrays.
select array_agg(y.channel) as channels, array_agg(y.ts) as times,
       array_agg(y.value) as amounts, array_agg(y.status) as flags
from (
    select c.id as channel, r.ts, r.value, r.status
    from unnest(%(channels)s::int[]) c (id)
    join ohmesh.meter m on m.id = %(meter_id)s and m.tenant_id = %(tenant_id)s
    cross join lateral api.readings_of(m.id, c.id, %(from_ts)s, %(to_ts)s, %(limit)s + 1, false) r
    where (r.ts, c.id) > (%(from_ts)s, %(after_channel)s)
    order by r.ts, c.id
    limit %(limit)s
) y

-- name: readings_down
select array_agg(y.channel) as channels, array_agg(y.ts) as times,
       array_agg(y.value) as amounts, array_agg(y.status) as flags
from (
    select c.id as channel, r.ts, r.value, r.status
    from unnest(%(channels)s::int[]) c (id)
    join ohmesh.meter m on m.id = %(meter_id)s and m.tenant_id = %(tenant_id)s
    cross join lateral api.readings_of(m.id, c.id, %(from_ts)s, %(to_ts)s, %(limit)s + 1, true) r
    where (r.ts, c.id) < (%(to_ts)s, %(after_channel)s)
    order by r.ts desc, c.id desc
    limit %(limit)s
) y

-- name: newest_values
-- The newest value of every channel of one meter.
select c.id as channel, r.ts, r.value, r.status
from ohmesh.channel c
join ohmesh.meter m on m.id = %(meter_id)s and m.tenant_id = %(tenant_id)s
cross join lateral api.readings_of(m.id, c.id, '-infinity', 'infinity', 1, true) r
order by c.name

-- name: gateway_number
select id from ohmesh.gateway where tenant_id = %(tenant_id)s and name = %(name)s

-- name: gateways
select g.name as gateway, g.node, round(g.x_m::numeric, 2)::float8 as x_m,
       round(g.y_m::numeric, 2)::float8 as y_m, g.registered_at,
       coalesce(s.state, 'unknown') as state, s.state_at, s.last_seen,
       (select count(*) from ohmesh.meter_status ms where ms.gateway_id = g.id) as meters
from ohmesh.gateway g left join ohmesh.gateway_status s on s.gateway_id = g.id
where g.tenant_id = %(tenant_id)s
  and g.name >= %(first)s and g.name <= %(last)s and g.name > %(after)s
order by g.name
limit %(limit)s

-- name: topology
-- A node may stand in several gateways' reports: the newest counts.
with newest as (
    select distinct on (r.node) r.node, r.gateway_id, r.parent, r.hops, r.etx_128ths, r.reported_at
    from ohmesh.route r join ohmesh.gateway g on g.id = r.gateway_id
    where g.tenant_id = %(tenant_id)s
    order by r.node, r.reported_at desc
), known as (
    select ('x' || right(m.address, 8))::bit(32)::bigint as node, m.name, m.interval_s,
           p.x_m, p.y_m, s.last_seen, s.gateway_id,
           (select max(x.ts)
            from unnest(%(channels)s::int[]) c (id)
            cross join lateral api.readings_of(m.id, c.id, '-infinity', 'infinity', 1, true) x
            where x.status & 3 = 0 and x.ts < now() + interval '1 hour') as newest
    from ohmesh.meter m
    left join ohmesh.service_point p on p.id = m.service_point_id
    left join ohmesh.meter_status s on s.meter_id = m.id
    where m.tenant_id = %(tenant_id)s and m.address ~ '^mesh-[0-9a-f]{8}$'
)
select g.node, 'gateway' as kind, g.name as id, g.name as gateway, null::bigint as parent,
       0 as hops, null::int as etx_128ths, null::timestamptz as reported_at,
       s.last_seen, null::timestamptz as newest, null::int as interval_s,
       round(g.x_m::numeric, 2)::float8 as x_m, round(g.y_m::numeric, 2)::float8 as y_m
from ohmesh.gateway g left join ohmesh.gateway_status s on s.gateway_id = g.id
where g.tenant_id = %(tenant_id)s and g.node is not null
union all
select k.node, 'meter', k.name, g.name, n.parent, n.hops, n.etx_128ths, n.reported_at,
       k.last_seen, k.newest, k.interval_s,
       round(k.x_m::numeric, 2)::float8, round(k.y_m::numeric, 2)::float8
from known k
left join newest n on n.node = k.node
left join ohmesh.gateway g on g.id = coalesce(n.gateway_id, k.gateway_id)
union all
select n.node, 'unknown', null, g.name, n.parent, n.hops, n.etx_128ths, n.reported_at,
       null, null, null, null, null
from newest n join ohmesh.gateway g on g.id = n.gateway_id
where n.node not in (select node from known)
  and n.node not in (select node from ohmesh.gateway
                     where tenant_id = %(tenant_id)s and node is not null)
order by 1
limit %(limit)s

-- name: quarantine
select q.id, q.quarantined_at, q.received_at, g.name as gateway, m.name as meter, q.address,
       q.profile, q.reason, q.message, length(q.payload) as payload_bytes,
       encode(substr(q.payload, 1, 256), 'hex') as payload_hex, q.resolved_at
from api.telegram_quarantine q
left join ohmesh.gateway g on g.id = q.gateway_id
left join ohmesh.meter m on m.id = q.meter_id
where q.tenant_id = %(tenant_id)s
  and (%(before)s::bigint is null or q.id < %(before)s)
  and (%(reason)s::text is null or q.reason = %(reason)s)
  and (%(resolved)s::bool is null or (q.resolved_at is not null) = %(resolved)s)
order by q.id desc
limit %(limit)s

-- name: quarantine_reasons
select q.reason, count(*) as telegrams, max(q.quarantined_at) as newest
from api.telegram_quarantine q
where q.tenant_id = %(tenant_id)s and q.resolved_at is null
group by q.reason
order by 2 desc, 1
limit 20

-- name: commands
select c.id, m.name as meter, c.kind, c.argument, c.not_after, c.priority, c.requested_by,
       c.created_at, c.state, c.attempts, c.sent_at, c.resolved_at, c.result_status as result,
       c.relay, c.detail, c.proof
from ohmesh.command c join ohmesh.meter m on m.id = c.meter_id
where c.tenant_id = %(tenant_id)s
  and (%(id)s::uuid is null or c.id = %(id)s)
  and (%(meter)s::text is null or c.meter_id = (
      select k.id from ohmesh.meter k where k.tenant_id = %(tenant_id)s and k.name = %(meter)s))
  and (%(state)s::text is null or c.state = %(state)s)
  and (%(before_at)s::timestamptz is null
       or (c.created_at, c.id) < (%(before_at)s, %(before_id)s))
order by c.created_at desc, c.id desc
limit %(limit)s

-- name: tariffs
select t.name as tariff, t.currency, t.price_mu_per_kwh,
       nullif(greatest(t.valid_from, 'epoch'), 'epoch') as valid_from, t.id
from ohmesh.tariff t
where t.tenant_id = %(tenant_id)s and (%(after)s::int is null or t.id > %(after)s)
order by t.id
limit %(limit)s

-- name: accounts
-- The price is that of the version in force, with which a month begins outside all windows.
select a.name as account, m.name as meter, a.tariff, a.currency, t.price_mu_per_kwh,
       coalesce(b.credits_mu - b.debits_mu, 0) as balance_mu, a.opened_at, s.rated_to,
       u.desired as supply_wanted, ms.relay as supply_actual, ms.relay_at as supply_actual_at,
       coalesce(u.reason, '') as reason, u.decided_at, u.command_id as command
from ohmesh.account a
join ohmesh.meter m on m.id = a.meter_id
join lateral (
    select v.price_mu_per_kwh from ohmesh.tariff v
    where v.tenant_id = a.tenant_id and v.name = a.tariff
    order by v.valid_from <= now() desc, v.valid_from desc limit 1) t on true
left join ohmesh.meter_status ms on ms.meter_id = m.id
left join ohmesh.account_balance b on b.account_id = a.id and b.book = 'wallet'
left join ohmesh.rating_state s on s.account_id = a.id
left join ohmesh.supply u on u.account_id = a.id
where a.tenant_id = %(tenant_id)s
  and a.name >= %(first)s and a.name <= %(last)s and a.name > %(after)s
order by a.name
limit %(limit)s

-- name: transfers
select f.id, a.name as account, f.code, f.debit, f.credit, f.amount_mu, f.value_at, f.posted_at,
       f.ref, (array['posted', 'pending', 'post', 'void'])[f.step + 1] as step
from ohmesh.transfer f join ohmesh.account a on a.id = f.account_id
where f.tenant_id = %(tenant_id)s and a.name = %(account)s
  and (%(code)s::int is null or f.code = %(code)s)
  and (%(before_at)s::timestamptz is null
       or (f.posted_at, f.id) < (%(before_at)s, %(before_id)s))
order by f.posted_at desc, f.id desc
limit %(limit)s

-- name: find_transfer
select f.id, a.name as account, f.code, f.debit, f.credit, f.amount_mu, f.value_at, f.posted_at,
       f.ref, (array['posted', 'pending', 'post', 'void'])[f.step + 1] as step
from ohmesh.transfer f join ohmesh.account a on a.id = f.account_id
where f.tenant_id = %(tenant_id)s and f.id = %(id)s

-- name: events
select e.id, e.at, e.kind, m.name as meter, g.name as gateway, e.detail
from ohmesh.event e
left join ohmesh.meter m on m.id = e.meter_id
left join ohmesh.gateway g on g.id = e.gateway_id
where e.tenant_id = %(tenant_id)s
  and (%(before)s::bigint is null or e.id < %(before)s)
  and (%(kind)s::text is null or e.kind = %(kind)s)
  and (%(meter)s::text is null or e.meter_id = (
      select k.id from ohmesh.meter k where k.tenant_id = %(tenant_id)s and k.name = %(meter)s))
  and (%(gateway)s::text is null or e.gateway_id = (
      select k.id from ohmesh.gateway k where k.tenant_id = %(tenant_id)s and k.name = %(gateway)s))
  and (%(period_from)s::timestamptz is null or e.at >= %(period_from)s)
  and (%(period_to)s::timestamptz is null or e.at < %(period_to)s)
order by e.id desc
limit %(limit)s

-- name: events_after
select e.id, e.at, e.kind, m.name as meter, g.name as gateway, e.detail
from ohmesh.event e
left join ohmesh.meter m on m.id = e.meter_id
left join ohmesh.gateway g on g.id = e.gateway_id
where e.tenant_id = %(tenant_id)s and e.id > %(after)s
order by e.id
limit %(limit)s

-- name: newest_interval
select api.newest_read(%(channels)s::int[]) as newest

-- name: read_success
-- A slot is the number of an interval since 1970; a value at ts lies in the slot that ENDs at or
-- after it. Counted are the slots whose END is in (period_from, period_to].
with counted as (
    select meter_id, stored, date_part('epoch', first_end)::bigint as first_s
    from api.slots_read(%(channels)s::int[], %(period_from)s, %(period_to)s)
), bounds as (
    select floor(date_part('epoch', %(period_from)s::timestamptz))::bigint as from_s,
           floor(date_part('epoch', %(period_to)s::timestamptz))::bigint as to_s
), meters as (
    select m.name as meter, m.interval_s, coalesce(c.stored, 0) as stored,
           b.to_s / m.interval_s as last, b.from_s / m.interval_s as start,
           c.first_s / m.interval_s as first_slot,
           floor(date_part('epoch', m.registered_at))::bigint / m.interval_s as registered
    from ohmesh.meter m cross join bounds b left join counted c on c.meter_id = m.id
    where m.tenant_id = %(tenant_id)s
), owed as materialized (
    select meter, interval_s, expected, least(stored, expected) as stored
    from (select *, greatest(last - greatest(start, least(registered,
                        coalesce(first_slot - 1, registered))), 0) as expected
          from meters) e
), totals as (
    select count(*) as meters, count(*) filter (where expected = 0) as meters_not_counted,
           sum(expected)::bigint as expected_all, sum(stored)::bigint as stored_all
    from owed
)
select o.*, t.*
from (select * from owed order by expected - stored desc, meter limit %(limit)s) o cross join totals t
order by o.expected - o.stored desc, o.meter

-- name: meter_to_show
select m.name as meter
from ohmesh.meter m
left join ohmesh.account a on a.meter_id = m.id
join ohmesh.meter_status s on s.meter_id = m.id
where m.tenant_id = %(tenant_id)s and s.last_seen is not null
order by a.id nulls last, m.name
limit 1

-- name: fleet_counts
select (select count(*) from ohmesh.meter where tenant_id = %(tenant_id)s) as meters,
       (select count(*) from ohmesh.meter m join ohmesh.meter_status s on s.meter_id = m.id
        where m.tenant_id = %(tenant_id)s and s.last_seen is not null) as heard,
       (select count(*) from ohmesh.meter m join ohmesh.meter_status s on s.meter_id = m.id
        where m.tenant_id = %(tenant_id)s
          and s.last_seen > now() - greatest(2 * m.interval_s, 3600) * interval '1 second')
           as reporting,
       (select count(*) from ohmesh.meter m join ohmesh.meter_status s on s.meter_id = m.id
        where m.tenant_id = %(tenant_id)s and s.relay = 0) as disconnected,
       (select count(*) from ohmesh.gateway where tenant_id = %(tenant_id)s) as gateways,
       (select count(*) from ohmesh.gateway g join ohmesh.gateway_status s on s.gateway_id = g.id
        where g.tenant_id = %(tenant_id)s and s.state = 'online') as gateways_online,
       (select count(*) from api.telegram_quarantine q
        where q.tenant_id = %(tenant_id)s and q.resolved_at is null) as quarantined,
       (select count(*) from ohmesh.account where tenant_id = %(tenant_id)s) as accounts,
       now() as at

-- name: pulse
-- One short text a page; it changes when the page should be drawn again.
select (select coalesce(max(e.id), 0) from ohmesh.event e where e.tenant_id = %(tenant_id)s)
           as event_id,
       (select concat(count(*), '/', max(s.last_seen), '/', max(s.relay_at))
        from ohmesh.meter m left join ohmesh.meter_status s on s.meter_id = m.id
        where m.tenant_id = %(tenant_id)s) as meters,
       (select concat(count(*), '/', max(s.state_at), '/', max(s.last_seen))
        from ohmesh.gateway g left join ohmesh.gateway_status s on s.gateway_id = g.id
        where g.tenant_id = %(tenant_id)s) as gateways,
       (select concat(count(*), '/', max(r.reported_at))
        from ohmesh.route r join ohmesh.gateway g on g.id = r.gateway_id
        where g.tenant_id = %(tenant_id)s) as mesh,
       (select concat(max(q.id), '/', count(*))
        from api.telegram_quarantine q
        where q.tenant_id = %(tenant_id)s and q.resolved_at is null) as quarantine,
       (select concat(max(c.created_at), '/', max(c.sent_at), '/', max(c.resolved_at))
        from ohmesh.command c where c.tenant_id = %(tenant_id)s) as commands,
       (select concat(max(f.posted_at), '/', max(u.decided_at))
        from ohmesh.account a
        left join ohmesh.transfer f on f.account_id = a.id
        left join ohmesh.supply u on u.account_id = a.id
        where a.tenant_id = %(tenant_id)s) as accounts

-- name: alive
select 1 as alive

-- name: metrics
select (select count(*) from ohmesh.meter where tenant_id = %(tenant_id)s) as meters,
       (select count(*) from ohmesh.gateway where tenant_id = %(tenant_id)s) as gateways,
       (select count(*) from ohmesh.account where tenant_id = %(tenant_id)s) as accounts,
       (select count(*) from api.telegram_quarantine q
        where q.tenant_id = %(tenant_id)s and q.resolved_at is null) as quarantined,
       (select max(s.last_seen) from ohmesh.meter m join ohmesh.meter_status s on s.meter_id = m.id
        where m.tenant_id = %(tenant_id)s) as last_seen
