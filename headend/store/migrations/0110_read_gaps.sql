-- What is missing now: known minutes after it was due, gone when it has come.
create table bulk.read_gap (                      -- neighbouring intervals missing for one cause
    meter_id    int not null,
    from_ts     timestamptz not null,             -- ENDs in (from, to]
    to_ts       timestamptz not null,
    intervals   int not null,
    cause       text not null check (cause in ('meter', 'hop', 'gateway', 'broker', 'ingest',
                                               'quarantine', 'rejected')),
    gateway_id  int,
    node        bigint,                           -- the relay, for `hop`
    found_at    timestamptz not null,
    stale       boolean not null default true,    -- to be looked at again: new, or readings came since
    primary key (meter_id, from_ts)
) with (fillfactor = 85);
create index on bulk.read_gap (from_ts, meter_id);
create index on bulk.read_gap (meter_id) where stale;

create table bulk.read_checked (                  -- up to when each utility's intervals were looked at
    tenant_id   int primary key,
    until       timestamptz not null
);

create view api.read_gap with (security_barrier) as
    select g.*, m.tenant_id from bulk.read_gap g join ohmesh.meter m on m.id = g.meter_id
    where m.tenant_id = ohmesh.current_tenant();

grant select, insert, update, delete on bulk.read_gap to ohmesh_worker;
grant select, insert, update on bulk.read_checked to ohmesh_worker;
grant select on api.read_gap to ohmesh_api;
