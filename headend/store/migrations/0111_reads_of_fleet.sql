-- Reports over all meters of a utility, one walk along the primary key for each meter: behind the
-- barrier view the planner may read all readings for each meter, and a call for each is slow.

create function api.newest_read(of_channels int[]) returns timestamptz
    language sql stable security definer set search_path = '' as
-- A meter whose newest value has no clock to be trusted (Quality 1, 2) or lies ahead does not count.
$$ select max(x.ts)
   from ohmesh.meter m
   cross join unnest(of_channels) c (id)
   cross join lateral (
       select r.ts, r.status from bulk.reading r where r.meter_id = m.id and r.channel = c.id
       order by r.ts desc limit 1) x
   where m.tenant_id = ohmesh.current_tenant() and x.status & 3 = 0
     and x.ts < now() + interval '1 hour' $$;

-- END of the first slot, and how many slots of each meter have a value in (lower, upper].
create function api.slots_read(of_channels int[], lower timestamptz, upper timestamptz)
    returns table (meter_id int, stored bigint, first_end timestamptz)
    language sql stable security definer set search_path = '' as
$$ select m.id, x.stored, x.first_end
   from ohmesh.meter m
   cross join lateral (
       select count(distinct s.slot_end) as stored, min(s.slot_end) as first_end
       from (select date_bin(m.interval_s * interval '1 second', r.ts - interval '1 microsecond',
                             '1970-01-01Z') + m.interval_s * interval '1 second' as slot_end
             from bulk.reading r
             where r.meter_id = m.id and r.channel = any(of_channels) and r.ts > lower and r.ts <= upper
             offset 0) s) x
   where m.tenant_id = ohmesh.current_tenant() $$;

revoke all on function api.newest_read(int[]), api.slots_read(int[], timestamptz, timestamptz) from public;
grant execute on function api.newest_read(int[]), api.slots_read(int[], timestamptz, timestamptz) to ohmesh_api;
