-- Readings of one meter and channel along the primary key, for the API's role. A barrier view cannot
-- give them in order: asked for the newest value it reads all that there are. The function is the
-- same barrier: of a meter of somebody else it knows nothing.
create function api.readings_of(of_meter int, of_channel int, lower timestamptz, upper timestamptz,
                                most int, newest_first bool)
    returns table (ts timestamptz, value bigint, status int)
    language plpgsql stable security definer set search_path = ''
    set plan_cache_mode = 'force_generic_plan' as
$$ begin
    if not exists (select from ohmesh.meter m
                   where m.id = of_meter and m.tenant_id = ohmesh.current_tenant()) then
        return;
    end if;
    if newest_first then
        return query select r.ts, r.value, r.status from bulk.reading r
            where r.meter_id = of_meter and r.channel = of_channel and r.ts >= lower and r.ts <= upper
            order by r.ts desc limit most;
    else
        return query select r.ts, r.value, r.status from bulk.reading r
            where r.meter_id = of_meter and r.channel = of_channel and r.ts >= lower and r.ts < upper
            order by r.ts limit most;
    end if;
end $$;
revoke all on function api.readings_of(int, int, timestamptz, timestamptz, int, bool) from public;
grant execute on function api.readings_of(int, int, timestamptz, timestamptz, int, bool) to ohmesh_api;
