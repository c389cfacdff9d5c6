-- Meters that encrypt what they send by their market's standard (DLMS, OMS): their unicast and
-- authentication keys, apart from the key of the seal between a meter of the mesh and the head-end.
alter table ohmesh.meter add column market_keys_sealed bytea;  -- as key_sealed; null: it does not encrypt

-- New keys of either kind start the record of counters anew.
create or replace function ohmesh.keep_meter_status() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.meter_status (meter_id) values (new.id) on conflict do nothing;
    if tg_op = 'UPDATE' and (new.key_sealed is distinct from old.key_sealed
                             or new.market_keys_sealed is distinct from old.market_keys_sealed) then
        update ohmesh.meter_status set up_seen = '{}' where meter_id = new.id;
    end if;
    return null;
end $$;

grant update (market_keys_sealed) on ohmesh.meter to ohmesh_api;
