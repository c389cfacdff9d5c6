-- A meter's status is written with every telegram. An index on what changes each time makes every
-- write one of all its indexes, and no question is answered by it.
drop index ohmesh.meter_status_last_seen_idx;

-- Nobody looks at the count of batches any more. The column stays while programs of before may write it.
comment on column ohmesh.meter_status.batches is 'not kept any more';

create or replace function api.add_readings(meters int[], channels int[], times timestamptz[], amounts bigint[],
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
    )
    select g.i, r.value
    from given g
    left join bulk.reading r on r.meter_id = g.m and r.channel = g.c and r.ts = g.t
    where not exists (select from added a where a.meter_id = g.m and a.channel = g.c and a.ts = g.t);
end $$;
