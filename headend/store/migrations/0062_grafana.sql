-- Plain views for charts. A role of the database reads the one tenant that is written down for it:
-- not by a setting, which whoever can type SQL could set to another.
create table ohmesh.reader_role (
    role        name primary key,
    tenant_id   int not null references ohmesh.tenant
);
alter table ohmesh.reader_role enable row level security;
alter table ohmesh.reader_role force row level security;
create policy all_tenants on ohmesh.reader_role to ohmesh_owner using (true) with check (true);

create schema grafana;
create function grafana.tenant() returns int language sql stable security definer set search_path = '' as
$$ select r.tenant_id from ohmesh.reader_role r where r.role = session_user $$;

create view grafana.interval_15m with (security_barrier) as
    select i.ts, m.name as meter, c.name as channel, c.obis,
           (i.value * 10::numeric ^ (c.scaler - 3))::float8 as value_kwh, i.quality
    from bulk.interval i
    join ohmesh.meter m on m.id = i.meter_id
    join ohmesh.channel c on c.id = i.channel
    where m.tenant_id = grafana.tenant() and c.unit = 'Wh' and i.length_s = 900;

create view grafana.usage_daily with (security_barrier) as
    select r.day::timestamptz as ts, m.name as meter, c.name as channel, c.obis,
           (r.total * 10::numeric ^ (c.scaler - 3))::float8 as value_kwh, r.intervals, r.measured
    from bulk.rollup_day r
    join ohmesh.meter m on m.id = r.meter_id
    join ohmesh.channel c on c.id = r.channel
    where m.tenant_id = grafana.tenant() and c.unit = 'Wh';

create view grafana.read_success_daily with (security_barrier) as
    select r.day::timestamptz as ts, m.name as meter, g.name as gateway, r.expected, r.on_time, r.stored
    from bulk.read_day r
    join ohmesh.meter m on m.id = r.meter_id
    left join ohmesh.gateway g on g.id = r.gateway_id
    where m.tenant_id = grafana.tenant();

create view grafana.mesh_link with (security_barrier) as
    select r.reported_at as ts, g.name as gateway, r.node, r.parent, r.hops, r.etx_128ths
    from ohmesh.route r join ohmesh.gateway g on g.id = r.gateway_id
    where g.tenant_id = grafana.tenant();

create view grafana.gateway with (security_barrier) as
    select g.name as gateway, coalesce(s.state, 'unknown') as state, s.last_seen,
           (select count(*) from ohmesh.meter_status k where k.gateway_id = g.id) as meters
    from ohmesh.gateway g left join ohmesh.gateway_status s on s.gateway_id = g.id
    where g.tenant_id = grafana.tenant();

create view grafana.meter with (security_barrier) as
    select m.name as meter, m.profile, p.name as service_point, p.feeder, p.transformer,
           g.name as gateway, s.last_seen
    from ohmesh.meter m
    left join ohmesh.service_point p on p.id = m.service_point_id
    left join ohmesh.meter_status s on s.meter_id = m.id
    left join ohmesh.gateway g on g.id = s.gateway_id
    where m.tenant_id = grafana.tenant();

create view grafana.event with (security_barrier) as
    select e.at as ts, e.kind, m.name as meter, g.name as gateway
    from ohmesh.event e
    left join ohmesh.meter m on m.id = e.meter_id
    left join ohmesh.gateway g on g.id = e.gateway_id
    where e.tenant_id = grafana.tenant();

create view grafana.quarantine with (security_barrier) as
    select q.quarantined_at as ts, q.reason, q.address, q.profile, q.resolved_at
    from bulk.telegram_quarantine q
    left join ohmesh.gateway g on g.id = q.gateway_id
    left join ohmesh.meter m on m.id = q.meter_id
    where coalesce(g.tenant_id, m.tenant_id) = grafana.tenant();
