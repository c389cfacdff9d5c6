-- Outages: which transformer and feeder a service point hangs on, and alarms that gather last gasps.
alter table ohmesh.service_point add column transformer text, add column feeder text;
grant update (transformer, feeder) on ohmesh.service_point to ohmesh_api;

-- Last gasps and restorations that nobody has looked at yet.
create table bulk.outage_queue (
    event_id    bigint primary key,
    tenant_id   int not null,
    meter_id    int not null,
    lost        boolean not null,                 -- false: power is back
    at          timestamptz not null,
    queued_at   timestamptz not null default now()
);

create table ohmesh.alarm (
    id          bigint generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    kind        text not null default 'outage',
    element_kind text not null check (element_kind in ('feeder', 'transformer', 'gateway', 'relay', 'meter')),
    element     text not null,
    state       text not null default 'open' check (state in ('open', 'acknowledged', 'closed')),
    first_at    timestamptz not null,             -- of the first last gasp
    last_at     timestamptz not null,
    opened_at   timestamptz not null,
    behind      int not null,                     -- meters behind the element
    acknowledged_at timestamptz,
    acknowledged_by text,
    closed_at   timestamptz,
    closed_by   text,                             -- a person, `restoration`, or `merged`
    note        text not null default ''
);
create index on ohmesh.alarm (tenant_id, id desc);
create unique index on ohmesh.alarm (tenant_id, element_kind, element) where state <> 'closed';

create table ohmesh.alarm_meter (
    alarm_id    bigint not null references ohmesh.alarm on delete cascade,
    meter_id    int not null references ohmesh.meter on delete cascade,
    lost_at     timestamptz not null,
    restored_at timestamptz,
    primary key (alarm_id, meter_id)
);
create index on ohmesh.alarm_meter (meter_id) where restored_at is null;

do $$
declare entity text;
begin
    foreach entity in array array['alarm', 'alarm_meter'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner, ohmesh_worker
                        using (true) with check (true)', entity);
    end loop;
    create policy one_tenant on ohmesh.alarm to ohmesh_api
        using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
    create policy one_tenant on ohmesh.alarm_meter to ohmesh_api
        using (exists (select from ohmesh.alarm a where a.id = alarm_id));
end $$;

create function ohmesh.queue_outage() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into bulk.outage_queue (event_id, tenant_id, meter_id, lost, at)
    values (new.id, new.tenant_id, new.meter_id, new.kind <> 'power_restored', new.at);
    return null;
end $$;
create trigger queue_outage after insert on ohmesh.event for each row
    when (new.kind in ('last_gasp', 'power_lost', 'power_restored') and new.meter_id is not null)
    execute function ohmesh.queue_outage();

grant select, delete on bulk.outage_queue to ohmesh_worker;
grant select, insert, update on ohmesh.alarm to ohmesh_worker;
grant select, insert, update, delete on ohmesh.alarm_meter to ohmesh_worker;
grant select on ohmesh.alarm, ohmesh.alarm_meter to ohmesh_api;
grant update (state, acknowledged_at, acknowledged_by, closed_at, closed_by, note) on ohmesh.alarm to ohmesh_api;
