-- Roll-ups of validated intervals by local hour, day and month, and the queue that feeds them.
-- A bucket holds the intervals with ENDs in (start, end], by the clock of the service point's zone.

create table bulk.rollup_due (                    -- stretches whose intervals have changed
    id          bigint generated always as identity primary key,
    meter_id    int not null,
    from_ts     timestamptz not null,             -- first and last END
    to_ts       timestamptz not null
);

create table bulk.rollup_hour (
    meter_id    int not null,
    channel     int not null,
    hour        timestamptz not null,             -- its START
    total       bigint not null,                  -- sum of the intervals
    intervals   int not null,
    measured    int not null,                     -- of them neither estimated nor edited
    most        bigint not null,                  -- the highest
    primary key (meter_id, channel, hour)
) with (fillfactor = 85);

create table bulk.rollup_day (
    meter_id    int not null,
    channel     int not null,
    day         date not null,                    -- local
    total       bigint not null,
    intervals   int not null,
    measured    int not null,
    most        bigint not null,
    primary key (meter_id, channel, day)
) with (fillfactor = 70);

create table bulk.rollup_month (
    meter_id    int not null,
    channel     int not null,
    month       date not null,                    -- its first day, local
    total       bigint not null,
    intervals   int not null,
    measured    int not null,
    most        bigint not null,
    primary key (meter_id, channel, month)
) with (fillfactor = 70);

create function bulk.zone_of(meter int) returns text language sql stable as
$$ select coalesce((select p.zone from ohmesh.meter m
                    join ohmesh.service_point p on p.id = m.service_point_id
                    where m.id = meter), 'UTC') $$;

-- Another zone has other days: everything of its meters is rolled up again.
create function ohmesh.roll_again() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    delete from bulk.rollup_hour where meter_id in (select id from ohmesh.meter where service_point_id = new.id);
    delete from bulk.rollup_day where meter_id in (select id from ohmesh.meter where service_point_id = new.id);
    delete from bulk.rollup_month where meter_id in (select id from ohmesh.meter where service_point_id = new.id);
    insert into bulk.rollup_due (meter_id, from_ts, to_ts)
    select i.meter_id, min(i.ts), max(i.ts) from bulk.interval i
    join ohmesh.meter m on m.id = i.meter_id and m.service_point_id = new.id
    group by i.meter_id;
    return null;
end $$;
create trigger roll_again after update of zone on ohmesh.service_point
    for each row when (old.zone is distinct from new.zone) execute function ohmesh.roll_again();

create view api.interval_hour with (security_barrier) as
    select r.*, m.tenant_id from bulk.rollup_hour r join ohmesh.meter m on m.id = r.meter_id
    where m.tenant_id = ohmesh.current_tenant();
create view api.interval_day with (security_barrier) as
    select r.*, m.tenant_id from bulk.rollup_day r join ohmesh.meter m on m.id = r.meter_id
    where m.tenant_id = ohmesh.current_tenant();
create view api.interval_month with (security_barrier) as
    select r.*, m.tenant_id from bulk.rollup_month r join ohmesh.meter m on m.id = r.meter_id
    where m.tenant_id = ohmesh.current_tenant();

grant select, insert, update, delete on bulk.rollup_due, bulk.rollup_hour, bulk.rollup_day, bulk.rollup_month
    to ohmesh_worker;
grant select on api.interval_hour, api.interval_day, api.interval_month to ohmesh_api;
