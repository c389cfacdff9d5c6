-- Enrolment of gateways: tokens that work once, and the certificates that were issued.
create table ohmesh.enrolment (
    digest      bytea primary key,                -- SHA-256 of the token, which is kept nowhere
    tenant_id   int not null references ohmesh.tenant,
    gateway_id  int not null references ohmesh.gateway,
    made_by     text not null,
    expires_at  timestamptz not null,
    request     bytea                             -- SHA-256 of the request it was used for
);
create index on ohmesh.enrolment (gateway_id);
create table ohmesh.certificate (
    serial      text primary key,                 -- hex digits
    tenant_id   int not null references ohmesh.tenant,
    gateway_id  int not null references ohmesh.gateway,
    not_before  timestamptz not null,
    not_after   timestamptz not null,
    request     bytea not null unique,            -- SHA-256: the same request gets the same certificate
    pem         text not null,
    revoked_at  timestamptz
);
create index on ohmesh.certificate (gateway_id);

create function ohmesh.enrolment_of(shown bytea) returns int
    language sql stable security definer set search_path = '' as
$$ select e.tenant_id from ohmesh.enrolment e where e.digest = shown $$;
create function ohmesh.certificate_of(shown text) returns int
    language sql stable security definer set search_path = '' as
$$ select c.tenant_id from ohmesh.certificate c where c.serial = shown $$;
revoke all on function ohmesh.enrolment_of(bytea), ohmesh.certificate_of(text) from public;
grant execute on function ohmesh.enrolment_of(bytea), ohmesh.certificate_of(text) to ohmesh_api;

do $$
declare entity text;
begin
    foreach entity in array array['enrolment', 'certificate'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (tenant_id = ohmesh.current_tenant())
                        with check (tenant_id = ohmesh.current_tenant())', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner, ohmesh_worker
                        using (true) with check (true)', entity);
    end loop;
end $$;
grant select, insert, delete, update (request) on ohmesh.enrolment to ohmesh_api;
grant select, insert, update (revoked_at) on ohmesh.certificate to ohmesh_api;
grant select on ohmesh.certificate to ohmesh_worker;
