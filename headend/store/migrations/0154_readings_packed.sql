-- Readings of many meters for the API's role, a row a meter and channel with its columns as octets.
-- Through the barrier view each reading is joined with its meter; here the barrier stands before the
-- search: of meters of somebody else it knows nothing.
create function api.readings_packed(of_meters int[], of_channels int[], lower timestamptz, upper timestamptz)
    returns table (meter_id int, channel int, times bytea, amounts bytea, flags bytea)
    language plpgsql stable security definer set search_path = '' as
$$ begin
    of_meters := array(select m.id from ohmesh.meter m
                       where m.id = any(of_meters) and m.tenant_id = ohmesh.current_tenant());
    return query
        select r.meter_id, r.channel, string_agg(timestamptz_send(r.ts), ''::bytea),
               string_agg(int8send(r.value), ''::bytea), string_agg(int4send(r.status), ''::bytea)
        from bulk.reading r
        where r.meter_id = any(of_meters) and r.channel = any(of_channels) and r.ts >= lower and r.ts < upper
        group by r.meter_id, r.channel;
end $$;
revoke all on function api.readings_packed(int[], int[], timestamptz, timestamptz) from public;
grant execute on function api.readings_packed(int[], int[], timestamptz, timestamptz) to ohmesh_api;
