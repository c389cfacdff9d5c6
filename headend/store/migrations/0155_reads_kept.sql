-- Which intervals of a UTC day were read, a bit each, so that a report over a fleet counts bits and
-- not readings. Validation sets them in the transaction that takes a note from bulk.touched, so a
-- report is exact at any moment: the bits, and what the notes that still wait point to.
create table bulk.read_slots (
    day         date not null,                    -- UTC; it holds the intervals with ENDs in (00:00, 24:00]
    meter_id    int not null,
    interval_s  int not null,                     -- of the meter then; 0: it had several that day
    slots       bit varying not null,             -- bit 0: the first interval that ENDs in the day
    primary key (day, meter_id)
) with (fillfactor = 70);
grant select, insert, update, delete on bulk.read_slots to ohmesh_worker;

-- Since when all readings are in the bits: what came before this version is not.
create table bulk.read_slots_since (at timestamptz not null);
insert into bulk.read_slots_since
select coalesce(max(last_ts) + interval '2 days', '-infinity') from bulk.series;

-- END of the first slot, and how many slots of each meter have a value; slots with ENDs in (lower, upper].
create function bulk.slots_counted(of_channels int[], lower timestamptz, upper timestamptz, of_meters int[])
    returns table (meter_id int, stored bigint, first_end timestamptz)
    language sql stable set search_path = '' as
$$ select m.id, x.stored, to_timestamp(x.first * m.interval_s)
   from ohmesh.meter m
   cross join lateral (
       select count(distinct s.slot) as stored, min(s.slot) as first
       from (select ceil(date_part('epoch', r.ts) / m.interval_s)::bigint as slot
             from bulk.reading r
             where r.meter_id = m.id and r.channel = any(of_channels)
               and r.ts > lower - m.interval_s * interval '1 second' and r.ts <= upper
             offset 0) s
       where s.slot * m.interval_s > date_part('epoch', lower)
         and s.slot * m.interval_s <= date_part('epoch', upper)) x
   where m.tenant_id = ohmesh.current_tenant() and (of_meters is null or m.id = any(of_meters)) $$;

-- The same from the bits. Meters whose interval_s has changed since are counted from their readings.
create function bulk.slots_kept(of_channels int[], lower timestamptz, upper timestamptz)
    returns table (meter_id int, stored bigint, first_end timestamptz)
    language sql stable set search_path = '' as
$$ with meter as not materialized (
       select m.id, m.interval_s, floor(date_part('epoch', lower))::bigint / m.interval_s as before,
              floor(date_part('epoch', upper))::bigint / m.interval_s as last
       from ohmesh.meter m where m.tenant_id = ohmesh.current_tenant()
   ), day as (
       -- base: the slot before bit 0; skipped: bits before the window.
       select d.*, substring(d.slots from d.skipped + 1
                             for greatest(least(d.last - d.base, length(d.slots))::int - d.skipped, 0)) as part
       from (select m.*, k.slots, k.interval_s = m.interval_s as fits, b.base,
                    greatest(m.before - b.base, 0)::int as skipped
             from bulk.read_slots k
             join meter m on m.id = k.meter_id
             cross join lateral (select (k.day - date '1970-01-01') * 86400::bigint / m.interval_s as base) b
             where k.day between (lower at time zone 'UTC')::date and (upper at time zone 'UTC')::date
             offset 0) d
       offset 0
   ), kept as materialized (
       select d.id, d.interval_s, bool_and(d.fits) as fits, sum(bit_count(d.part))::bigint as stored,
              min(case when bit_count(d.part) > 0 then d.base + d.skipped + position(B'1' in d.part) end) as first
       from day d group by d.id, d.interval_s
   ), waiting as (
       select w.id, w.interval_s, count(*) as stored, min(w.slot) as first
       from (select distinct m.id, m.interval_s, n.slot
             from bulk.touched t
             join meter m on m.id = t.meter_id
             cross join lateral (
                 select ceil(date_part('epoch', r.ts) / m.interval_s)::bigint as slot
                 from bulk.reading r
                 where r.meter_id = m.id and r.channel = any(of_channels)
                   and r.ts between t.from_ts and t.to_ts
                   and r.ts > lower - m.interval_s * interval '1 second' and r.ts <= upper
                 offset 0) n
             where t.to_ts > lower - interval '1 day' and t.from_ts <= upper
               and n.slot > m.before and n.slot <= m.last) w
       left join bulk.read_slots k on k.meter_id = w.id and k.interval_s = w.interval_s
            and k.day = date '1970-01-01' + ((w.slot * w.interval_s - 1) / 86400)::int
       where k.slots is null
          or get_bit(k.slots, (w.slot - (k.day - date '1970-01-01') * 86400::bigint / w.interval_s - 1)::int) = 0
       group by 1, 2
   )
   select id, coalesce(k.stored, 0) + coalesce(w.stored, 0),
          to_timestamp(least(k.first, w.first) * coalesce(k.interval_s, w.interval_s))
   from kept k full join waiting w using (id)
   where k.fits is not false
   union all
   select c.* from bulk.slots_counted(of_channels, lower, upper, array(select id from kept where not fits)) c $$;

create or replace function api.slots_read(of_channels int[], lower timestamptz, upper timestamptz)
    returns table (meter_id int, stored bigint, first_end timestamptz)
    language plpgsql stable security definer set search_path = '' set work_mem = '64MB' as
$$ begin
    if lower >= (select max(s.at) from bulk.read_slots_since s)
       and not exists (select from ohmesh.channel c
                       where c.id = any(of_channels) and c.name <> 'el.energy.import') then
        return query select * from bulk.slots_kept(of_channels, lower, upper);
    else
        return query select * from bulk.slots_counted(of_channels, lower, upper, null);
    end if;
end $$;

-- The newest interval of the utility: of what is validated, and of what waits for it; before there is
-- any, of all readings, where a meter whose newest value has no clock to be trusted (Quality 1, 2) or
-- lies ahead does not count.
create or replace function api.newest_read(of_channels int[]) returns timestamptz
    language sql stable security definer set search_path = '' as
$$ with validated as materialized (
       select max(s.last_ts) as ts from bulk.series s join ohmesh.meter m on m.id = s.meter_id
       where m.tenant_id = ohmesh.current_tenant() and s.channel = any(of_channels)
         and s.last_ts < now() + interval '1 hour'
   ), waiting as (
       select max(x.ts) as ts
       from bulk.touched t
       join ohmesh.meter m on m.id = t.meter_id and m.tenant_id = ohmesh.current_tenant()
       cross join unnest(of_channels) c (id)
       cross join lateral (
           select r.ts from bulk.reading r
           where r.meter_id = m.id and r.channel = c.id and r.status & 3 = 0
             and r.ts between t.from_ts and t.to_ts and r.ts < now() + interval '1 hour'
           order by r.ts desc limit 1) x
       where t.to_ts > (select v.ts from validated v)
   )
   select case when v.ts is not null then greatest(v.ts, (select w.ts from waiting w)) else (
       select max(x.ts)
       from ohmesh.meter m
       cross join unnest(of_channels) c (id)
       cross join lateral (
           select r.ts, r.status from bulk.reading r where r.meter_id = m.id and r.channel = c.id
           order by r.ts desc limit 1) x
       where m.tenant_id = ohmesh.current_tenant() and x.status & 3 = 0
         and x.ts < now() + interval '1 hour') end
   from validated v $$;
revoke all on function bulk.slots_counted(int[], timestamptz, timestamptz, int[]),
    bulk.slots_kept(int[], timestamptz, timestamptz) from public;
