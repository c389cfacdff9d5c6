-- The mesh through time, and read success by day.

-- A row for as long as a node kept its way: parent, hops, and a link of about the same quality.
create table ohmesh.route_history (
    gateway_id  int not null references ohmesh.gateway on delete cascade,
    node        bigint not null,
    parent      bigint not null,
    etx_128ths  int not null,
    hops        int not null,
    from_ts     timestamptz not null,
    to_ts       timestamptz,                      -- null: it still does
    primary key (gateway_id, node, from_ts)
);
create index on ohmesh.route_history (node, from_ts desc);
create index on ohmesh.route_history (gateway_id, node) where to_ts is null;
alter table ohmesh.route_history enable row level security;
alter table ohmesh.route_history force row level security;
create policy all_tenants on ohmesh.route_history to ohmesh_owner, ohmesh_ingest, ohmesh_worker
    using (true) with check (true);
create policy one_tenant on ohmesh.route_history to ohmesh_api
    using (exists (select from ohmesh.gateway g where g.id = gateway_id));

-- Follows every report. What the table holds for a gateway now is what it reported: ingest replaces
-- a gateway's routes as a whole.
create function ohmesh.keep_routes() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    update ohmesh.route_history h set to_ts = greatest(r.at, h.from_ts)
    from (select gateway_id, max(reported_at) as at from added group by gateway_id) r
    where h.gateway_id = r.gateway_id and h.to_ts is null
      and not exists (
          select from ohmesh.route a
          where a.gateway_id = h.gateway_id and a.node = h.node and a.parent = h.parent
            and a.hops = h.hops and abs(a.etx_128ths - h.etx_128ths) * 4 <= h.etx_128ths);
    insert into ohmesh.route_history (gateway_id, node, parent, etx_128ths, hops, from_ts)
    select a.gateway_id, a.node, a.parent, a.etx_128ths, a.hops, a.reported_at
    from added a
    where not exists (
        select from ohmesh.route_history h
        where h.gateway_id = a.gateway_id and h.node = a.node and h.to_ts is null)
    on conflict (gateway_id, node, from_ts) do update
    set parent = excluded.parent, etx_128ths = excluded.etx_128ths, hops = excluded.hops, to_ts = null;
    return null;
end $$;
create trigger keep_history after insert on ohmesh.route
    referencing new table as added for each statement execute function ohmesh.keep_routes();
insert into ohmesh.route_history (gateway_id, node, parent, etx_128ths, hops, from_ts)
select gateway_id, node, parent, etx_128ths, hops, reported_at from ohmesh.route;

-- One row per meter and local day, made when the day's deadline has passed.
create table bulk.read_day (
    meter_id    int not null,
    day         date not null,
    gateway_id  int,                              -- its home when the day was closed
    hops        int,
    expected    int not null,                     -- intervals that should have been read
    on_time     int not null,                     -- read when the deadline passed
    stored      int not null,                     -- read by now
    closed_at   timestamptz not null,
    stale       boolean not null default false,   -- readings came since
    primary key (meter_id, day)
) with (fillfactor = 85);
create index on bulk.read_day (day);
create index on bulk.read_day (meter_id, day) where stale;

create table bulk.read_miss (                     -- neighbouring intervals missed for one cause
    meter_id    int not null,
    day         date not null,
    from_ts     timestamptz not null,             -- ENDs in (from, to]
    to_ts       timestamptz not null,
    intervals   int not null,
    late        int not null default 0,           -- of them came after the deadline
    cause       text not null check (cause in ('meter', 'hop', 'gateway', 'broker', 'ingest',
                                               'quarantine', 'rejected')),
    gateway_id  int,
    node        bigint,                           -- the relay, for `hop`
    primary key (meter_id, day, from_ts)
);
create index on bulk.read_miss (day);

create view api.read_day with (security_barrier) as
    select r.*, m.tenant_id from bulk.read_day r join ohmesh.meter m on m.id = r.meter_id
    where m.tenant_id = ohmesh.current_tenant();
create view api.read_miss with (security_barrier) as
    select r.*, m.tenant_id from bulk.read_miss r join ohmesh.meter m on m.id = r.meter_id
    where m.tenant_id = ohmesh.current_tenant();

grant select on ohmesh.route_history to ohmesh_worker, ohmesh_api;
create view api.series with (security_barrier) as
    select s.meter_id, s.channel, s.last_ts, m.tenant_id
    from bulk.series s join ohmesh.meter m on m.id = s.meter_id
    where m.tenant_id = ohmesh.current_tenant();

grant select on api.series to ohmesh_api;
grant select, insert, update, delete on bulk.read_day, bulk.read_miss to ohmesh_worker;
grant select on api.read_day, api.read_miss to ohmesh_api;

-- Up to which day each utility's zones are closed.
create table bulk.read_closing (
    tenant_id   int not null,
    zone        text not null,
    day         date not null,
    primary key (tenant_id, zone)
);
grant select, insert, update on bulk.read_closing to ohmesh_worker;
