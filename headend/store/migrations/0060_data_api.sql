-- Bulk import and filters of the API: history comes in by one function, lists are read along indexes.

-- The API's role has no way to write bulk data but this. Returns the places (from 1) of what was not
-- added, with the value that stands there.
create function api.add_readings(meters int[], channels int[], times timestamptz[], amounts bigint[],
                                 flags int[])
    returns table (place bigint, held bigint) language plpgsql security definer set search_path = '' as
$$ begin
    if exists (select from unnest(meters) u (m)
               where not exists (select from ohmesh.meter k
                                 where k.id = u.m and k.tenant_id = ohmesh.current_tenant())) then
        raise exception 'a meter of somebody else';
    end if;
    return query
    with given as (
        select * from unnest(meters, channels, times, amounts, flags) with ordinality u (m, c, t, v, s, i)
    ), added as (
        insert into bulk.reading (meter_id, channel, ts, value, status)
        select g.m, g.c, g.t, g.v, g.s from given g order by g.m, g.c, g.t
        on conflict do nothing
        returning meter_id, channel, ts
    ), touched as (
        insert into bulk.touched (meter_id, from_ts, to_ts, closes)
        select a.meter_id, min(a.ts), max(a.ts), max(a.ts) < now() - interval '1 day' from added a
        group by a.meter_id, (a.ts at time zone 'UTC')::date
    ), news as (
        update ohmesh.meter_status s set batches = s.batches + 1
        where s.meter_id in (select a.meter_id from added a)
    )
    select g.i, r.value
    from given g
    left join bulk.reading r on r.meter_id = g.m and r.channel = g.c and r.ts = g.t
    where not exists (select from added a where a.meter_id = g.m and a.channel = g.c and a.ts = g.t);
end $$;
revoke all on function api.add_readings(int[], int[], timestamptz[], bigint[], int[]) from public;
grant execute on function api.add_readings(int[], int[], timestamptz[], bigint[], int[]) to ohmesh_api;
grant insert on ohmesh.channel to ohmesh_api;     -- of the names that the program knows

-- ---------------------------------------------------------------- a way for each filter
create index on ohmesh.meter (tenant_id, name text_pattern_ops);
create index on ohmesh.meter (tenant_id, profile, name);
create index on ohmesh.meter (service_point_id);
create index on ohmesh.meter_status (gateway_id, meter_id);
create index on ohmesh.meter_status (last_seen);
create index on ohmesh.service_point (tenant_id, feeder, name);
create index on ohmesh.service_point (tenant_id, transformer, name);
create index on ohmesh.event (tenant_id, id desc);
create index on ohmesh.event (tenant_id, kind, id desc);
create index on ohmesh.event (meter_id, id desc);
create index on ohmesh.event (gateway_id, id desc);
create index on ohmesh.command (tenant_id, created_at desc, id desc);
create index on ohmesh.command (tenant_id, state, created_at desc, id desc);
create index on ohmesh.command (meter_id, created_at desc, id desc);
