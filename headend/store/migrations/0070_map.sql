-- Where on the earth a utility's own map begins: the place of x_m = 0, y_m = 0 (x east, y north).
create table ohmesh.map_origin (
    tenant_id   int primary key references ohmesh.tenant,
    latitude    double precision not null check (latitude between -85 and 85),    -- degrees, WGS 84
    longitude   double precision not null check (longitude between -180 and 180)
);
alter table ohmesh.map_origin enable row level security;
alter table ohmesh.map_origin force row level security;
create policy one_tenant on ohmesh.map_origin to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy all_tenants on ohmesh.map_origin to ohmesh_owner using (true) with check (true);
grant select, insert, update on ohmesh.map_origin to ohmesh_api;
