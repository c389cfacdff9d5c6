-- Validated intervals beside the raw readings, with every version of them, and what validation found.

-- Which stretch of which meter has news. Ingest adds a row per meter and UTC day that a transaction
-- wrote readings of; validation takes rows away when it has committed what follows from them.
create table bulk.touched (
    id          bigint generated always as identity primary key,
    meter_id    int not null,
    from_ts     timestamptz not null,
    to_ts       timestamptz not null,
    closes      boolean not null default false   -- what is missing in it may be estimated now
);

create table bulk.interval (                      -- the version that counts now
    meter_id    int not null,
    channel     int not null,                     -- of the readings it was made from
    ts          timestamptz not null,             -- its END
    value       bigint not null,                  -- x 10^channel.scaler in channel.unit
    length_s    int not null,
    quality     int not null,                     -- Quality
    failed      int not null,                     -- bits of the rules that it failed
    method      smallint not null,                -- how the value was made
    version     smallint not null,
    made_at     timestamptz not null,
    author      text,                             -- null: validation itself
    primary key (meter_id, channel, ts)
);

create table bulk.interval_version (              -- versions that another has replaced
    like bulk.interval,
    replaced_at timestamptz not null,
    primary key (meter_id, channel, ts, version)
);

-- What validation knows of a series: where it ends, and what is usual for it.
create table bulk.series (
    meter_id    int not null,
    channel     int not null,
    last_ts     timestamptz not null,             -- END of its newest interval
    learned_on  date not null,                    -- day on which the rest was last taken from history
    usual_max   bigint not null default 0,        -- highest trusted interval of the days before
    usual_day   bigint not null default 0,        -- mean of a day
    days        int not null default 0,           -- days behind these figures
    zero_since  timestamptz,                      -- END of the first of the zeros that it ends with
    primary key (meter_id, channel)
) with (fillfactor = 80);

create table bulk.vee_exception (
    id          bigint generated always as identity primary key,
    meter_id    int not null,
    channel     int not null,
    rule        smallint not null,
    from_ts     timestamptz not null,             -- it concerns the intervals with ENDs in (from, to]
    to_ts       timestamptz not null,
    found       bigint,                           -- the value that failed, and what would have passed
    allowed     bigint,
    state       text not null default 'open' check (state in ('open', 'accepted', 'edited', 'gone')),
    found_at    timestamptz not null,
    settled_at  timestamptz,
    settled_by  text,
    unique (meter_id, channel, rule, from_ts)
);
create index on bulk.vee_exception (id) where state = 'open';

-- What people want done with intervals. Validation does it, so that it alone writes intervals.
create table ohmesh.interval_edit (
    id          uuid primary key,                 -- uuid5 of the idempotency key
    tenant_id   int not null references ohmesh.tenant,
    meter_id    int not null references ohmesh.meter,
    channel     text not null,
    kind        text not null check (kind in ('set', 'estimate', 'accept', 'revert')),
    from_ts     timestamptz not null,             -- intervals with ENDs in (from, to]
    to_ts       timestamptz not null check (to_ts > from_ts),
    amounts     bigint[],                         -- `set`: one value for each interval, in order
    reason      text not null,
    author      text not null,
    idempotency_key text not null,
    asked_at    timestamptz not null,
    state       text not null default 'asked' check (state in ('asked', 'done', 'refused')),
    intervals   int not null default 0,
    detail      text not null default '',
    done_at     timestamptz,
    unique (tenant_id, idempotency_key)
);
create index on ohmesh.interval_edit (asked_at) where state = 'asked';

-- The exchange of a meter under the same name: where the old register ended and the new one began.
create table ohmesh.meter_swap (
    id          bigint generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    meter_id    int not null references ohmesh.meter,
    channel     text not null,
    at          timestamptz not null,
    old_close   bigint not null,                  -- in the unit and resolution of the channel
    new_open    bigint not null,
    author      text not null,
    unique (meter_id, channel, at)
);

do $$
declare entity text;
begin
    foreach entity in array array['interval_edit', 'meter_swap'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (tenant_id = ohmesh.current_tenant())
                        with check (tenant_id = ohmesh.current_tenant())', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner, ohmesh_worker
                        using (true) with check (true)', entity);
    end loop;
end $$;
create trigger tell after insert on ohmesh.interval_edit
    for each statement execute function ohmesh.tell_work();
create trigger tell after insert on ohmesh.meter_swap
    for each statement execute function ohmesh.tell_work();

-- Security definer: whoever writes down a swap has no access to the queue of validation.
create function ohmesh.touch_swap() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into bulk.touched (meter_id, from_ts, to_ts, closes)
    values (new.meter_id, new.at, new.at, true);
    return null;
end $$;
create trigger touch after insert on ohmesh.meter_swap
    for each row execute function ohmesh.touch_swap();

create view api.interval with (security_barrier) as
    select i.*, m.tenant_id
    from bulk.interval i join ohmesh.meter m on m.id = i.meter_id
    where m.tenant_id = ohmesh.current_tenant();
create view api.interval_version with (security_barrier) as
    select i.*, m.tenant_id
    from bulk.interval_version i join ohmesh.meter m on m.id = i.meter_id
    where m.tenant_id = ohmesh.current_tenant();
create view api.vee_exception with (security_barrier) as
    select e.*, m.tenant_id
    from bulk.vee_exception e join ohmesh.meter m on m.id = e.meter_id
    where m.tenant_id = ohmesh.current_tenant();

grant insert on bulk.touched to ohmesh_ingest;
grant select, insert, update, delete on bulk.touched, bulk.series to ohmesh_worker;
grant select, insert, update, delete on bulk.interval to ohmesh_worker;
grant select, insert on bulk.interval_version to ohmesh_worker;
grant select, insert, update on bulk.vee_exception to ohmesh_worker;
grant select, update (state, intervals, detail, done_at) on ohmesh.interval_edit to ohmesh_worker;
grant select on ohmesh.meter_swap to ohmesh_worker;
grant select, insert on ohmesh.interval_edit, ohmesh.meter_swap to ohmesh_api;
grant select on api.interval, api.interval_version, api.vee_exception to ohmesh_api;
