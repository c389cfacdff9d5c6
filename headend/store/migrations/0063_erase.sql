-- Forget what a meter has told. The meter itself, its account and the ledger stay.
-- Returns how many rows of each table went. Only the owner may: `ohmesh headend erase`.
create function ohmesh.erase_meter(meter int) returns table (relation text, erased bigint)
    language plpgsql set search_path = '' as
$$ begin
    for relation in
        select format('%I.%I', n.nspname, c.relname)
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'meter_id' and not a.attisdropped
        where c.relkind in ('r', 'p') and not c.relispartition
          and (n.nspname = 'bulk'
               or n.nspname = 'ohmesh'
                  and c.relname in ('event', 'alarm_meter', 'interval_edit', 'meter_swap', 'meter_group_member'))
        order by 1
    loop
        execute format('delete from %s where meter_id = $1', relation) using meter;
        get diagnostics erased = row_count;
        return next;
    end loop;
end $$;
revoke all on function ohmesh.erase_meter(int) from public;
