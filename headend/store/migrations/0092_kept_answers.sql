-- Answers to writes under an Idempotency-Key, so that a repeat is given the same octets.
create table ohmesh.kept_answer (
    tenant_id   int not null references ohmesh.tenant,
    digest      bytea not null,                   -- SHA-256 of the caller and the key
    request     bytea not null,                   -- SHA-256 of the request that the answer belongs to
    sealed      bytea not null,                   -- under the API's secret: an answer may show a new key
    made_at     timestamptz not null,
    primary key (tenant_id, digest)
);
create index on ohmesh.kept_answer (tenant_id, made_at);
alter table ohmesh.kept_answer enable row level security;
alter table ohmesh.kept_answer force row level security;
create policy one_tenant on ohmesh.kept_answer to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy all_tenants on ohmesh.kept_answer to ohmesh_owner using (true) with check (true);
grant select, insert, delete, update (request, sealed, made_at) on ohmesh.kept_answer to ohmesh_api;
