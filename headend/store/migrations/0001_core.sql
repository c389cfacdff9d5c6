-- The store, release 1. Plain PostgreSQL; store/timescale/*.sql adds to it where the extension is.
-- Runs as ohmesh_owner inside one transaction. Roles (made by `ohmesh headend bootstrap`):
--   ohmesh_owner   owns everything, runs migrations, is used by no serving program
--   ohmesh_ingest  writes bulk data; no access to money
--   ohmesh_worker  rating, commands, supply; may not rewrite the ledger
--   ohmesh_api     serves people; sees one tenant at a time (ohmesh.tenant, SET LOCAL)

create schema ohmesh;   -- entities, row-level security
create schema bulk;     -- readings and telegrams: no grant to ohmesh_api, read through views in api
create schema api;      -- security_barrier views, the only way of the API to bulk data

-- The tenant of the API's transaction; 0 matches nothing, so forgetting to set it shows nothing.
create function ohmesh.current_tenant() returns int language sql stable as
$$ select coalesce(nullif(current_setting('ohmesh.tenant', true), ''), '0')::int $$;

-- ---------------------------------------------------------------- entities
create table ohmesh.tenant (
    id          int generated always as identity primary key,
    name        text not null unique
);

create table ohmesh.service_point (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null,
    zone        text not null default 'UTC',      -- IANA
    x_m         real,                             -- position on the utility's map, metres
    y_m         real,
    unique (tenant_id, name)
);

create table ohmesh.meter (
    id               int generated always as identity primary key,
    tenant_id        int not null references ohmesh.tenant,
    name             text not null unique check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    address          text not null unique check (address ~ '^[A-Za-z0-9_-]{1,64}$'),
    profile          text not null,
    service_point_id int references ohmesh.service_point,
    interval_s       int not null check (interval_s between 60 and 86400),
    key_sealed       bytea,                       -- AES-GCM under the KEK; null: telegrams come plain
    registered_at    timestamptz not null default now(),
    version          int not null default 1       -- rises with every change: quarantine is decoded again
);

create table ohmesh.gateway (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null unique check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    node        bigint,                           -- its number in the mesh
    x_m         real,
    y_m         real,
    registered_at timestamptz not null default now()
);

-- What changes with every batch is apart from what hardly changes.
create table ohmesh.meter_status (
    meter_id    int primary key references ohmesh.meter on delete cascade,
    gateway_id  int references ohmesh.gateway,    -- where it is homed now: commands go there
    last_seen   timestamptz,
    up_seen     int8multirange not null default '{}',  -- counters of sealed messages taken, exactly
    down_counter bigint not null default 0,       -- last counter used towards the meter; never goes back
    batches     bigint not null default 0,        -- rises whenever readings were committed: rating follows it
    relay       smallint,                         -- RelayState, as read back
    relay_at    timestamptz,
    relay_counter bigint not null default -1      -- of the sealed message that told it: an older one changes nothing
) with (fillfactor = 70);

create table ohmesh.gateway_status (
    gateway_id  int primary key references ohmesh.gateway on delete cascade,
    last_seen   timestamptz,
    state       text not null default 'unknown',  -- online, offline, unknown
    state_at    timestamptz
) with (fillfactor = 70);

create table ohmesh.gateway_progress (
    gateway_id  int not null references ohmesh.gateway on delete cascade,
    epoch       bigint not null,
    got         int8multirange not null,          -- sequence numbers committed
    primary key (gateway_id, epoch)
) with (fillfactor = 70);

create table ohmesh.route (                       -- the mesh as last reported
    gateway_id  int not null references ohmesh.gateway on delete cascade,
    node        bigint not null,
    parent      bigint not null,
    etx_128ths  int not null,
    hops        int not null,
    reported_at timestamptz not null,
    primary key (gateway_id, node)
);

create table ohmesh.channel (                     -- one dictionary for all meters
    id          int generated always as identity primary key,
    name        text not null,                    -- el.energy.import, raw.1-0:99.9.9
    obis        text not null,
    unit        text not null,
    scaler      int not null,
    unique (name, obis, unit, scaler)
);

create table ohmesh.event (
    id          bigint generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    meter_id    int references ohmesh.meter,
    gateway_id  int references ohmesh.gateway,
    at          timestamptz not null,
    kind        text not null,
    detail      jsonb not null default '{}'
);
create index on ohmesh.event (tenant_id, at desc);

-- ---------------------------------------------------------------- bulk
create table bulk.reading (
    meter_id    int not null,
    channel     int not null,
    ts          timestamptz not null,             -- for an interval its END
    value       bigint not null,                  -- x 10^channel.scaler in channel.unit
    status      int not null default 0,           -- Quality; int4: columnstore bloom indexes on int2 lost rows before 2.27
    primary key (meter_id, channel, ts)
);

create table bulk.telegram (
    received_at timestamptz not null,             -- at the gateway
    gateway_id  int not null,                     -- 0: no gateway, a meter with its own modem
    epoch       bigint not null,
    seq         bigint not null,
    kind        smallint not null,
    source      text not null,
    meter_id    int,                              -- null: not known when it came
    address     text not null,
    profile     text not null,
    payload     bytea not null,
    primary key (gateway_id, epoch, seq, received_at)
);
create index on bulk.telegram (meter_id, received_at desc);

create table bulk.telegram_quarantine (           -- archived too; here is why it gave no readings
    id          bigint generated always as identity primary key,
    received_at timestamptz not null,
    gateway_id  int,                              -- null: nobody we know sent it
    epoch       bigint,
    seq         bigint,
    kind        smallint not null default 0,
    source      text not null default '',
    meter_id    int,
    address     text not null,
    profile     text not null,
    meter_version int not null default 0,         -- of the meter when decoding was last tried; 0: unknown
    reason      text not null,                    -- unknown_meter, seal, decode:<kind>, batch:<error>, ...
    message     text not null,
    payload     bytea not null,
    quarantined_at timestamptz not null default now(),
    resolved_at timestamptz
);
create index on bulk.telegram_quarantine (quarantined_at desc) where resolved_at is null;
create index on bulk.telegram_quarantine (address) where resolved_at is null;
create sequence bulk.direct_seq;                  -- numbers the archive of meters with their own modem

-- ---------------------------------------------------------------- commands
create table ohmesh.command (
    id          uuid primary key,
    tenant_id   int not null references ohmesh.tenant,
    meter_id    int not null references ohmesh.meter,
    kind        smallint not null,                -- CommandKind
    argument    bigint not null default 0,
    sequence    bigint not null,                  -- fence, rising per meter
    state       text not null default 'queued',   -- CommandState
    priority    smallint not null default 1 check (priority between 0 and 3),
    not_after   timestamptz not null,
    idempotency_key text not null,
    requested_by text not null,
    created_at  timestamptz not null default now(),
    attempts    int not null default 0,
    next_try_at timestamptz not null default now(),
    sent_at     timestamptz,
    resolved_at timestamptz,
    result_status smallint,                       -- ResultStatus
    relay       smallint,                         -- RelayState read back
    detail      text not null default '',
    unique (tenant_id, idempotency_key),
    unique (meter_id, sequence)
);
create index on ohmesh.command (next_try_at) where state in ('queued', 'sent', 'in_field');

-- ---------------------------------------------------------------- prepayment (thin wallet)
-- Money is an integer of 1e-5 currency units (mu); energy an integer of Wh.
create table ohmesh.tariff (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null,
    currency    char(3) not null,
    price_mu_per_kwh bigint not null check (price_mu_per_kwh >= 0),
    valid_from  timestamptz not null default '-infinity',
    unique (tenant_id, name, valid_from)
);

create table ohmesh.account (                     -- a prepaid contract on one meter
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null,
    meter_id    int not null unique references ohmesh.meter,
    tariff_id   int not null references ohmesh.tariff,
    rated_channel text not null default 'el.energy.import',
    opened_at   timestamptz not null default now(),
    unique (tenant_id, name)
);

create table ohmesh.transfer (                    -- append only: no role may update or delete
    id          uuid primary key,                 -- uuid5 of the idempotency key
    tenant_id   int not null references ohmesh.tenant,
    account_id  int not null references ohmesh.account,
    debit       text not null,
    credit      text not null,
    amount_mu   bigint not null check (amount_mu > 0),
    code        smallint not null,                -- 10 TOPUP, 20 ENERGY, 40 REVERSAL, 50 ADJUST
    value_at    timestamptz not null,
    posted_at   timestamptz not null default now(),
    idempotency_key text not null unique,
    ref         jsonb not null default '{}',
    check (debit <> credit)
);
create index on ohmesh.transfer (account_id, posted_at);

create table ohmesh.account_balance (
    account_id  int not null references ohmesh.account,
    book        text not null,                    -- wallet, cash, rev_energy ...
    debits_mu   bigint not null default 0,
    credits_mu  bigint not null default 0,
    primary key (account_id, book)
) with (fillfactor = 70);

create table ohmesh.rating_state (                -- exact cumulative charge, floor posted
    account_id  int primary key references ohmesh.account,
    rated_to    timestamptz,                      -- END of the last interval looked at; null: not begun
    register_wh bigint,                           -- highest register charged so far
    batches     bigint not null default -1,       -- meter_status.batches when last rated
    charge_milli_mu numeric(38, 0) not null default 0,  -- sum of Wh x mu/kWh, exact
    posted_mu   bigint not null default 0
);

create table ohmesh.supply (                      -- desired against actual, prepayment.md section 6
    account_id  int primary key references ohmesh.account,
    desired     smallint not null default 1,      -- RelayState wanted
    decision_seq bigint not null default 0,
    reason      text not null default 'opened',
    decided_at  timestamptz not null default now(),
    command_id  uuid references ohmesh.command,
    tries       int not null default 0             -- commands issued again since the last change of mind
) with (fillfactor = 70);

-- ---------------------------------------------------------------- news for listeners
-- Payload: the meter's address or the gateway's name. Listeners also look by themselves: a
-- notification makes them quick, never correct.
create function ohmesh.tell_fleet() returns trigger language plpgsql as
$$ begin
    -- Two statements: each is compiled when first run, and a gateway has no address.
    if tg_table_name = 'meter' then perform pg_notify('ohmesh_fleet', new.address);
    else perform pg_notify('ohmesh_fleet', new.name);
    end if;
    return null;
end $$;
create trigger tell after insert or update on ohmesh.meter
    for each row execute function ohmesh.tell_fleet();
create trigger tell after insert on ohmesh.gateway for each row execute function ohmesh.tell_fleet();

create function ohmesh.tell_work() returns trigger language plpgsql as
$$ begin perform pg_notify('ohmesh_work', ''); return null; end $$;
create trigger tell after insert on ohmesh.command
    for each statement execute function ohmesh.tell_work();

create function ohmesh.count_version() returns trigger language plpgsql as
$$ begin new.version := old.version + 1; return new; end $$;
create trigger count_version before update on ohmesh.meter
    for each row execute function ohmesh.count_version();

-- A new meter has its status row at once, and a new key starts its counters' record anew.
create function ohmesh.keep_meter_status() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.meter_status (meter_id) values (new.id) on conflict do nothing;
    if tg_op = 'UPDATE' and new.key_sealed is distinct from old.key_sealed then
        update ohmesh.meter_status set up_seen = '{}' where meter_id = new.id;
    end if;
    return null;
end $$;
create trigger keep_status after insert or update on ohmesh.meter
    for each row execute function ohmesh.keep_meter_status();

-- ---------------------------------------------------------------- row-level security
do $$
declare entity text;
begin
    foreach entity in array array['service_point', 'meter', 'gateway', 'event', 'command', 'tariff',
                                  'account', 'transfer'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (tenant_id = ohmesh.current_tenant())
                        with check (tenant_id = ohmesh.current_tenant())', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner, ohmesh_ingest, ohmesh_worker
                        using (true) with check (true)', entity);
    end loop;
    -- Tables without a tenant column follow their parent, whose policy applies in the sub-query.
    foreach entity in array array['meter_status', 'gateway_status', 'gateway_progress', 'route',
                                  'account_balance', 'rating_state', 'supply'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner, ohmesh_ingest, ohmesh_worker
                        using (true) with check (true)', entity);
    end loop;
    execute 'create policy one_tenant on ohmesh.meter_status to ohmesh_api
             using (exists (select from ohmesh.meter m where m.id = meter_id))';
    foreach entity in array array['gateway_status', 'gateway_progress', 'route'] loop
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (exists (select from ohmesh.gateway g where g.id = gateway_id))', entity);
    end loop;
    foreach entity in array array['account_balance', 'rating_state', 'supply'] loop
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (exists (select from ohmesh.account a where a.id = account_id))
                        with check (exists (select from ohmesh.account a where a.id = account_id))', entity);
    end loop;
end $$;

-- ---------------------------------------------------------------- the API's windows on bulk data
-- Owned by ohmesh_owner, so the tenant is named here: row-level security of the owner shows all.
create view api.reading with (security_barrier) as
    select r.meter_id, m.tenant_id, r.channel, r.ts, r.value, r.status
    from bulk.reading r join ohmesh.meter m on m.id = r.meter_id
    where m.tenant_id = ohmesh.current_tenant();

create view api.telegram with (security_barrier) as
    select t.*, coalesce(g.tenant_id, m.tenant_id) as tenant_id
    from bulk.telegram t
    left join ohmesh.gateway g on g.id = t.gateway_id
    left join ohmesh.meter m on m.id = t.meter_id
    where coalesce(g.tenant_id, m.tenant_id) = ohmesh.current_tenant();

-- What nobody's gateway sent is the first tenant's (the operator's) to see.
create view api.telegram_quarantine with (security_barrier) as
    select q.*, coalesce(g.tenant_id, m.tenant_id, 1) as tenant_id
    from bulk.telegram_quarantine q
    left join ohmesh.gateway g on g.id = q.gateway_id
    left join ohmesh.meter m on m.id = q.meter_id
    where coalesce(g.tenant_id, m.tenant_id, 1) = ohmesh.current_tenant();

-- ---------------------------------------------------------------- grants
grant usage on schema ohmesh to ohmesh_ingest, ohmesh_worker, ohmesh_api;
grant usage on schema bulk to ohmesh_ingest, ohmesh_worker;
grant usage on schema api to ohmesh_api;

grant select on all tables in schema ohmesh to ohmesh_ingest, ohmesh_worker;
revoke select on ohmesh.transfer, ohmesh.account_balance, ohmesh.rating_state, ohmesh.supply,
    ohmesh.account, ohmesh.tariff from ohmesh_ingest;
grant select on all tables in schema ohmesh to ohmesh_api;
grant select on all tables in schema api to ohmesh_api;

grant insert on ohmesh.channel, ohmesh.event to ohmesh_ingest;
grant update on ohmesh.meter_status to ohmesh_ingest;
grant insert, update on ohmesh.gateway_status, ohmesh.gateway_progress to ohmesh_ingest;
grant insert, update, delete on ohmesh.route to ohmesh_ingest;
grant update (state, resolved_at, result_status, relay, detail, next_try_at) on ohmesh.command to ohmesh_ingest;
grant select, insert on bulk.reading, bulk.telegram to ohmesh_ingest;
grant select, insert, update on bulk.telegram_quarantine to ohmesh_ingest;

grant usage on sequence bulk.direct_seq to ohmesh_ingest;
grant select on all tables in schema bulk to ohmesh_worker;
grant insert, update on ohmesh.command, ohmesh.account_balance, ohmesh.rating_state, ohmesh.supply to ohmesh_worker;
grant update (down_counter) on ohmesh.meter_status to ohmesh_worker;
grant insert on ohmesh.transfer, ohmesh.event to ohmesh_worker;

grant insert on ohmesh.service_point, ohmesh.meter, ohmesh.gateway, ohmesh.tariff, ohmesh.account,
    ohmesh.transfer, ohmesh.event, ohmesh.command to ohmesh_api;
grant update (zone, x_m, y_m) on ohmesh.service_point to ohmesh_api;
grant update (profile, service_point_id, interval_s, key_sealed) on ohmesh.meter to ohmesh_api;
grant update (node, x_m, y_m) on ohmesh.gateway to ohmesh_api;
grant insert, update on ohmesh.account_balance, ohmesh.supply, ohmesh.rating_state to ohmesh_api;
grant update (state, resolved_at, detail) on ohmesh.command to ohmesh_api;

insert into ohmesh.tenant (name) values ('default');
