-- Groups of meters that people make, for lists and exports.
create table ohmesh.meter_group (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    created_at  timestamptz not null default now(),
    unique (tenant_id, name)
);
create table ohmesh.meter_group_member (
    group_id    int not null references ohmesh.meter_group on delete cascade,
    meter_id    int not null references ohmesh.meter on delete cascade,
    primary key (group_id, meter_id)
);
create index on ohmesh.meter_group_member (meter_id);

do $$
declare entity text;
begin
    foreach entity in array array['meter_group', 'meter_group_member'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner using (true) with check (true)', entity);
    end loop;
end $$;
create policy one_tenant on ohmesh.meter_group to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy one_tenant on ohmesh.meter_group_member to ohmesh_api
    using (exists (select from ohmesh.meter_group g where g.id = group_id))
    with check (exists (select from ohmesh.meter_group g where g.id = group_id)
                and exists (select from ohmesh.meter m where m.id = meter_id));
grant select, insert, delete on ohmesh.meter_group, ohmesh.meter_group_member to ohmesh_api;
