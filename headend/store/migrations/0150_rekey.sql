-- The owner changes how a meter's key is sealed (`ohmesh headend rekey`), never the key: what is pending stays
-- pending, and the record of counters stands. Every serving program has another role.
create or replace function ohmesh.settle_keys() returns trigger language plpgsql as
$$ begin
    if session_user <> 'ohmesh_owner'
       and new.key_sealed is distinct from old.key_sealed
       and new.key_sealed is distinct from old.next_key_sealed then
        new.next_key_sealed := null;
        new.next_key_command := null;
        new.old_key_sealed := null;
    end if;
    return new;
end $$;

create or replace function ohmesh.keep_meter_status() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.meter_status (meter_id) values (new.id) on conflict do nothing;
    if tg_op = 'UPDATE' and session_user <> 'ohmesh_owner'
       and ((new.key_sealed is distinct from old.key_sealed
             and new.key_sealed is distinct from old.next_key_sealed)
            or new.market_keys_sealed is distinct from old.market_keys_sealed) then
        update ohmesh.meter_status set up_seen = '{}' where meter_id = new.id;
    end if;
    return null;
end $$;
