-- A contract rated anew from a day on, because a person asked: the worker weighs it and books it.
create table ohmesh.rerate (
    id              uuid primary key,
    tenant_id       int not null references ohmesh.tenant,
    account_id      int not null references ohmesh.account,
    from_day        date not null,
    dry_run         boolean not null,
    reason          text not null check (octet_length(reason) <= 1000),
    asked_at        timestamptz not null,
    -- asked -> weighed (dry run, or too much for one person) -> approved -> booked; failed
    state           text not null default 'asked'
        check (state in ('asked', 'weighed', 'approved', 'booked', 'failed')),
    difference_mu   bigint,                       -- what the wallet pays (above 0) or gets back
    days            int,                          -- local days whose charge changes
    done_at         timestamptz,
    problem         text
);
create index on ohmesh.rerate (account_id, asked_at desc);
create index on ohmesh.rerate (asked_at) where state in ('asked', 'approved');

alter table ohmesh.rerate enable row level security;
alter table ohmesh.rerate force row level security;
create policy one_tenant on ohmesh.rerate to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy all_tenants on ohmesh.rerate to ohmesh_owner, ohmesh_worker using (true) with check (true);
grant select, insert, update (state) on ohmesh.rerate to ohmesh_api;
grant select, update on ohmesh.rerate to ohmesh_worker;

create function ohmesh.tell_rerate() returns trigger language plpgsql as
$$ begin perform pg_notify('ohmesh_work', ''); return null; end $$;
create trigger tell_worker after insert or update of state on ohmesh.rerate for each row
    when (new.state in ('asked', 'approved')) execute function ohmesh.tell_rerate();
