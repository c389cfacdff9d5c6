-- What commands carry beside an argument, what meters read back, new keys, and firmware images.
alter table ohmesh.command
    add column body bytea not null default '',     -- of a KEY_CHANGE: the key under the KEK
    add column proof bytea;                        -- what the meter read back, or wants next
grant update (proof) on ohmesh.command to ohmesh_ingest;

-- A new key is pending until the meter has answered under it; the one before it opens what still
-- waited in the meter or in the mesh when the key changed.
alter table ohmesh.meter
    add column next_key_sealed bytea,
    add column next_key_command uuid,              -- the command that may make it the key
    add column old_key_sealed bytea;
grant update (next_key_sealed, next_key_command) on ohmesh.meter to ohmesh_api;

-- Ingest may let a pending key take over, and set none.
create function ohmesh.activate_key(this_meter int, this_command uuid) returns void language sql
    security definer set search_path = '' as
$$ update ohmesh.meter
   set old_key_sealed = key_sealed, key_sealed = next_key_sealed,
       next_key_sealed = null, next_key_command = null
   where id = this_meter and next_key_command = this_command and next_key_sealed is not null $$;
revoke all on function ohmesh.activate_key from public;
grant execute on function ohmesh.activate_key to ohmesh_ingest;

-- A key that somebody set by hand ends what was pending.
create function ohmesh.settle_keys() returns trigger language plpgsql as
$$ begin
    if new.key_sealed is distinct from old.key_sealed
       and new.key_sealed is distinct from old.next_key_sealed then
        new.next_key_sealed := null;
        new.next_key_command := null;
        new.old_key_sealed := null;
    end if;
    return new;
end $$;
create trigger settle_keys before update on ohmesh.meter
    for each row execute function ohmesh.settle_keys();

-- A key that the meter itself took goes on with the same counters.
create or replace function ohmesh.keep_meter_status() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.meter_status (meter_id) values (new.id) on conflict do nothing;
    if tg_op = 'UPDATE' and ((new.key_sealed is distinct from old.key_sealed
                              and new.key_sealed is distinct from old.next_key_sealed)
                             or new.market_keys_sealed is distinct from old.market_keys_sealed) then
        update ohmesh.meter_status set up_seen = '{}' where meter_id = new.id;
    end if;
    return null;
end $$;

create table ohmesh.firmware (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    version     bigint not null,
    sha256      bytea not null,
    image       bytea not null,
    added_by    text not null,
    added_at    timestamptz not null default now(),
    unique (tenant_id, name)
);
create index on ohmesh.firmware (tenant_id, sha256);
alter table ohmesh.firmware enable row level security;
alter table ohmesh.firmware force row level security;
create policy one_tenant on ohmesh.firmware to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());
create policy all_tenants on ohmesh.firmware to ohmesh_owner, ohmesh_worker using (true);
grant select, insert on ohmesh.firmware to ohmesh_api;
grant select on ohmesh.firmware to ohmesh_worker;
