-- What the API reads and writes of channels, registers, groups, feeders and service points.

-- name: channels
select c.name as channel, c.obis, c.unit, c.scaler, c.id from ohmesh.channel c
where (c.name, c.id) > (%(after)s, %(after_id)s)
order by c.name, c.id
limit %(limit)s

-- name: registers_at
-- Of every channel of one meter the last value at or before an instant, along the primary key; one
-- row without a value when there is none, no row when there is no such meter.
select c.id as channel, c.name, c.scaler, c.unit, c.ts, c.value, c.status
from ohmesh.meter m
left join lateral (
    select k.id, k.name, k.scaler, k.unit, r.ts, r.value, r.status
    from ohmesh.channel k
    cross join lateral api.readings_of(m.id, k.id, '-infinity', %(at)s, 1, true) r
) c on true
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s
order by c.name

-- name: feeders
select p.feeder, count(distinct p.transformer) as transformers, count(distinct p.id) as service_points,
       count(m.id) as meters
from ohmesh.service_point p left join ohmesh.meter m on m.service_point_id = p.id
where p.tenant_id = %(tenant_id)s and p.feeder > %(after)s
group by p.feeder
order by p.feeder
limit %(limit)s

-- name: groups
select g.name as "group",
       (select count(*) from ohmesh.meter_group_member x where x.group_id = g.id) as meters, g.created_at
from ohmesh.meter_group g
where g.tenant_id = %(tenant_id)s and g.name > %(after)s
  and (%(name)s::text is null or g.name = %(name)s)
order by g.name
limit %(limit)s

-- name: add_group
insert into ohmesh.meter_group (tenant_id, name) values (%(tenant_id)s, %(name)s)
on conflict do nothing
returning id

-- name: find_group
select id from ohmesh.meter_group where tenant_id = %(tenant_id)s and name = %(name)s

-- name: drop_group
delete from ohmesh.meter_group where tenant_id = %(tenant_id)s and name = %(name)s returning id

-- name: meters_named
select id, name from ohmesh.meter where tenant_id = %(tenant_id)s and name = any(%(names)s)

-- name: leave_group
delete from ohmesh.meter_group_member where group_id = %(group)s and not meter_id = any(%(meters)s::int[])

-- name: join_group
insert into ohmesh.meter_group_member (group_id, meter_id)
select %(group)s, u from unnest(%(meters)s::int[]) u
on conflict do nothing

-- name: service_point
select p.name as service_point, p.zone, round(p.x_m::numeric, 2)::float8 as x_m,
       round(p.y_m::numeric, 2)::float8 as y_m, p.transformer, p.feeder, nullif(p.area, '') as area,
       (select count(*) from ohmesh.meter m where m.service_point_id = p.id) as meters
from ohmesh.service_point p
where p.tenant_id = %(tenant_id)s and p.name = %(name)s

-- name: lock_service_point
select id from ohmesh.service_point where tenant_id = %(tenant_id)s and name = %(name)s for update

-- name: add_service_point
insert into ohmesh.service_point (tenant_id, name, zone, x_m, y_m, transformer, feeder, area)
values (%(tenant_id)s, %(name)s, %(zone)s, %(x_m)s, %(y_m)s, %(transformer)s, %(feeder)s,
        coalesce(%(area)s, ''))
on conflict do nothing
returning id

-- name: change_service_point
update ohmesh.service_point
set zone = %(zone)s, x_m = %(x_m)s, y_m = %(y_m)s, transformer = %(transformer)s, feeder = %(feeder)s,
    area = coalesce(%(area)s, '')
where tenant_id = %(tenant_id)s and name = %(name)s

-- name: intervals_of
select c.name as channel, c.unit, c.scaler, i.ts as time, i.length_s, i.value, i.quality, i.failed
from ohmesh.meter m
join ohmesh.channel c on c.name = any(%(channels)s)
join api.interval i on i.tenant_id = %(tenant_id)s and i.meter_id = m.id and i.channel = c.id
    and i.ts > %(from_ts)s and i.ts <= %(to_ts)s
where m.tenant_id = %(tenant_id)s and m.name = %(meter)s
order by c.name, c.id, i.ts
