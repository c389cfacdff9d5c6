-- Who sends payments signs them: one secret a channel.
create table ohmesh.payment_channel (
    tenant_id   int not null references ohmesh.tenant,
    name        text not null check (name ~ '^[a-z0-9_-]{1,40}$'),
    secret_sealed bytea not null,                 -- under the key-encryption key
    made_at     timestamptz not null,
    primary key (tenant_id, name)
);
alter table ohmesh.payment_channel enable row level security;
alter table ohmesh.payment_channel force row level security;
create policy one_tenant on ohmesh.payment_channel to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy all_tenants on ohmesh.payment_channel to ohmesh_owner using (true) with check (true);
grant select, insert, update (secret_sealed, made_at) on ohmesh.payment_channel to ohmesh_api;
