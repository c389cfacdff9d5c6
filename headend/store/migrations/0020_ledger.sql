-- Prepayment on a double-entry ledger, with tariffs as data and a supply that is kept as decided.
do $$ begin
    if not exists (select from pg_roles where rolname = 'ohmesh_gate') then
        raise exception 'the role ohmesh_gate is missing: run ohmesh headend bootstrap again';
    end if;
end $$;

-- ---------------------------------------------------------------- ledger
-- A book of an account is an account of the ledger: wallet:{c} is (account c, 'wallet'). What
-- belongs to nobody yet (suspense) has no account. Step: 0 posted, 1 pending, 2 posts a pending
-- one, 3 voids it.
alter table ohmesh.transfer
    alter column account_id drop not null,
    add column currency char(3),
    add column txn text,                          -- the event in the world; its transfers stand together
    add column step smallint not null default 0 check (step between 0 and 3),
    add column pending_id uuid references ohmesh.transfer,
    add check ((step >= 2) = (pending_id is not null));
update ohmesh.transfer f set txn = f.idempotency_key,
    currency = (select t.currency from ohmesh.account a join ohmesh.tariff t on t.id = a.tariff_id
                where a.id = f.account_id);
alter table ohmesh.transfer alter column currency set not null, alter column txn set not null;
create unique index transfer_settled on ohmesh.transfer (pending_id) where pending_id is not null;
create index on ohmesh.transfer (tenant_id, txn);
create index on ohmesh.transfer (tenant_id, posted_at);

alter table ohmesh.account_balance
    add column tenant_id int references ohmesh.tenant,
    add column currency char(3),
    add column debits_pending_mu bigint not null default 0,
    add column credits_pending_mu bigint not null default 0,
    drop constraint account_balance_pkey,
    alter column account_id drop not null;
update ohmesh.account_balance b set tenant_id = a.tenant_id, currency = t.currency
from ohmesh.account a join ohmesh.tariff t on t.id = a.tariff_id where a.id = b.account_id;
alter table ohmesh.account_balance alter column tenant_id set not null,
    alter column currency set not null;
create unique index account_balance_key on ohmesh.account_balance
    (tenant_id, account_id, currency, book) nulls not distinct;
create index on ohmesh.account_balance (account_id, book) include (debits_mu, credits_mu);

-- Balances are the fold of the transfers, kept here: no role may write them.
create function ohmesh.fold_transfers() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    if exists (select from new_transfers n where n.step >= 2 and not exists (
            select from ohmesh.transfer p
            where p.id = n.pending_id and p.step = 1 and p.tenant_id = n.tenant_id
              and p.account_id is not distinct from n.account_id and p.currency = n.currency
              and p.debit = n.debit and p.credit = n.credit and p.amount_mu = n.amount_mu)) then
        raise exception 'a settlement is not like its pending transfer';
    end if;
    insert into ohmesh.account_balance as b (tenant_id, account_id, currency, book,
            debits_mu, credits_mu, debits_pending_mu, credits_pending_mu)
    select s.tenant_id, s.account_id, s.currency, s.book,
           coalesce(sum(s.amount_mu) filter (where s.side = 'd' and s.step in (0, 2)), 0),
           coalesce(sum(s.amount_mu) filter (where s.side = 'c' and s.step in (0, 2)), 0),
           coalesce(sum(case s.step when 1 then s.amount_mu when 0 then 0 else -s.amount_mu end)
                    filter (where s.side = 'd'), 0),
           coalesce(sum(case s.step when 1 then s.amount_mu when 0 then 0 else -s.amount_mu end)
                    filter (where s.side = 'c'), 0)
    from (select n.tenant_id, n.account_id, n.currency, n.debit as book, 'd' as side, n.step,
                 n.amount_mu from new_transfers n
          union all
          select n.tenant_id, n.account_id, n.currency, n.credit, 'c', n.step, n.amount_mu
          from new_transfers n) s
    group by s.tenant_id, s.account_id, s.currency, s.book
    order by s.account_id, s.book
    on conflict (tenant_id, account_id, currency, book) do update set
        debits_mu = b.debits_mu + excluded.debits_mu,
        credits_mu = b.credits_mu + excluded.credits_mu,
        debits_pending_mu = b.debits_pending_mu + excluded.debits_pending_mu,
        credits_pending_mu = b.credits_pending_mu + excluded.credits_pending_mu;
    return null;
end $$;
create trigger fold after insert on ohmesh.transfer referencing new table as new_transfers
    for each statement execute function ohmesh.fold_transfers();

create function ohmesh.refuse_change() returns trigger language plpgsql as
$$ begin raise exception '% is append-only: post a correction', tg_table_name; end $$;
create trigger append_only before update or delete or truncate on ohmesh.transfer
    for each statement execute function ohmesh.refuse_change();

create table ohmesh.payment (                     -- what a payer sent: booked, or waiting for a person
    id          uuid primary key,                 -- uuid5 of the idempotency key
    tenant_id   int not null references ohmesh.tenant,
    account     text not null,                    -- as the payer named it
    account_id  int references ohmesh.account,    -- null: nobody of that name
    amount_mu   bigint not null check (amount_mu > 0),
    currency    char(3) not null,
    channel     text not null default 'api',
    idempotency_key text not null,
    state       text not null check (state in ('received', 'booked', 'failed', 'suspense', 'reversed')),
    reason      text,
    received_at timestamptz not null,
    booked_at   timestamptz,
    wallet_mu   bigint,                           -- right after it was booked
    unique (tenant_id, idempotency_key)
);
insert into ohmesh.payment (id, tenant_id, account, account_id, amount_mu, currency, idempotency_key,
                            state, received_at, booked_at, wallet_mu)
select f.id, f.tenant_id, a.name, f.account_id, f.amount_mu, f.currency,
       substr(f.idempotency_key, length('topup:' || f.tenant_id || ':') + 1), 'booked', f.posted_at,
       f.posted_at, (f.ref ->> 'wallet_mu')::bigint
from ohmesh.transfer f join ohmesh.account a on a.id = f.account_id where f.code = 10;

create table ohmesh.reconciliation (              -- the ledger against itself and against the meters
    tenant_id   int not null references ohmesh.tenant,
    day         date not null,
    ok          boolean not null,
    findings    jsonb not null default '[]',
    made_at     timestamptz not null,
    primary key (tenant_id, day)
);
create table ohmesh.ledger_stop (                 -- nothing is charged and nobody is cut
    tenant_id   int primary key references ohmesh.tenant,
    since       timestamptz not null,
    reason      text not null
);

-- ---------------------------------------------------------------- tariffs: versions, as data
alter table ohmesh.tariff add column version int not null default 1, add column body jsonb;
update ohmesh.tariff t set
    version = n.number,
    body = jsonb_build_object('id', t.name, 'version', n.number, 'tz', 'UTC',
        'valid_from', case when isfinite(t.valid_from)
                      then to_char(t.valid_from at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:00"Z"')
                      else '1970-01-01T00:00:00Z' end,
        'block_upto_wh', '[null]'::jsonb,
        'price_mu_per_kwh', jsonb_build_object('all', jsonb_build_array(t.price_mu_per_kwh)))
from (select id, row_number() over (partition by tenant_id, name order by valid_from) as number
      from ohmesh.tariff) n where n.id = t.id;
alter table ohmesh.tariff alter column body set not null, add unique (tenant_id, name, version);

alter table ohmesh.account
    add column tariff text,
    add column currency char(3),
    add column terms jsonb not null default '{}', -- headend.prepayment.terms; {}: nobody is cut
    add column register_modulus_wh bigint;        -- where the meter's register begins anew; null: never
update ohmesh.account a set tariff = t.name, currency = t.currency
from ohmesh.tariff t where t.id = a.tariff_id;
alter table ohmesh.account alter column tariff set not null, alter column currency set not null,
    drop column tariff_id;

-- ---------------------------------------------------------------- rating
alter table ohmesh.rating_state
    add column rated_from timestamptz,            -- asked for; null: behind the newest register
    add column base_at timestamptz,               -- the register where charging begins; null: not known
    add column idle_to date,                      -- local day to which the daily charge is posted
    add column estimated_mu bigint not null default 0,
    add column estimate_id uuid references ohmesh.transfer,
    add column postings bigint not null default 0;  -- charges so far: numbers the next one
update ohmesh.rating_state set rated_from = rated_to,
    base_at = case when register_wh is null then null else rated_to end;
alter table ohmesh.rating_state drop column register_wh, drop column batches,
    drop column charge_milli_mu, drop column posted_mu;

create table ohmesh.charge_month (
    account_id  int not null references ohmesh.account,
    month       date not null,                    -- first local day
    rating_version int not null default 0,        -- how often it was corrected
    counter_wh  bigint not null default 0,        -- actual energy of the month
    opening_wh  bigint not null default 0,        -- block counter that came with the contract
    primary key (account_id, month)
) with (fillfactor = 70);
create table ohmesh.charge_day (                  -- what is posted, by local day and component
    account_id  int not null references ohmesh.account,
    day         date not null,
    component   text not null,
    posted_mu   bigint not null,
    primary key (account_id, day, component)
) with (fillfactor = 70);

-- ---------------------------------------------------------------- supply
alter table ohmesh.supply
    add column state text not null default 'ACTIVE',
    add column kept jsonb not null default '{}',  -- the rest of headend.prepayment.contract.Supply
    add column next_eval_at timestamptz default '-infinity',
    add column relay_counter bigint not null default -1;  -- of the relay state that was taken in
update ohmesh.supply s set state = case when s.desired = 1 then 'ACTIVE'
    when ms.relay in (0, 2) then 'OFF' else 'CUT_PENDING' end
from ohmesh.account a join ohmesh.meter_status ms on ms.meter_id = a.meter_id
where a.id = s.account_id;
update ohmesh.supply s set kept = jsonb_build_object('state', s.state, 'desired_on', s.desired = 1,
    'decision_seq', s.decision_seq, 'actual', ms.relay)
from ohmesh.account a join ohmesh.meter_status ms on ms.meter_id = a.meter_id
where a.id = s.account_id;
alter table ohmesh.supply drop column tries;
create index on ohmesh.supply (next_eval_at) where next_eval_at is not null;

alter table ohmesh.command
    add column account_id int references ohmesh.account,  -- of the decision that it carries out
    add column decision_seq bigint;
create index on ohmesh.command (account_id, sequence) where account_id is not null;

-- What has happened to accounts and was not looked at yet. Append-only for those who tell.
create table ohmesh.account_news (
    id          bigint generated always as identity primary key,
    account_id  int not null references ohmesh.account,
    from_ts     timestamptz                       -- readings changed from here on; null: something else
);
create index on ohmesh.account_news (account_id);

create function ohmesh.tell_readings() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.account_news (account_id, from_ts)
    select a.id, min(n.from_ts) from touched n join ohmesh.account a on a.meter_id = n.meter_id
    group by a.id;
    if found then perform pg_notify('ohmesh_work', ''); end if;
    return null;
end $$;
create trigger tell_accounts after insert on bulk.touched referencing new table as touched
    for each statement execute function ohmesh.tell_readings();

create function ohmesh.tell_relay() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.account_news (account_id)
    select a.id from ohmesh.account a where a.meter_id = new.meter_id;
    if found then perform pg_notify('ohmesh_work', ''); end if;
    return null;
end $$;
create trigger tell_relay after update on ohmesh.meter_status for each row
    when (new.relay_counter <> old.relay_counter) execute function ohmesh.tell_relay();

create function ohmesh.tell_command() returns trigger language plpgsql security definer
    set search_path = '' as
$$ begin
    insert into ohmesh.account_news (account_id) values (new.account_id);
    perform pg_notify('ohmesh_work', '');
    return null;
end $$;
create trigger tell_account after update on ohmesh.command for each row
    when (new.account_id is not null and new.resolved_at is not null and old.resolved_at is null)
    execute function ohmesh.tell_command();

-- ---------------------------------------------------------------- notices and webhooks
create table ohmesh.notice (                      -- to the customer; a cut waits until it was accepted
    id          bigint generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    account_id  int not null references ohmesh.account,
    kind        text not null,
    at          timestamptz not null,
    detail      jsonb not null default '{}',
    accepted_at timestamptz
);
create index on ohmesh.notice (account_id, id);

create table ohmesh.webhook (
    id          uuid primary key,
    tenant_id   int not null references ohmesh.tenant,
    url         text not null,
    kinds       text[] not null,
    secret_sealed bytea not null,
    active      boolean not null default true,
    created_at  timestamptz not null
);
create table ohmesh.webhook_delivery (            -- the outbox: one row for each event and webhook
    id          bigint generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    webhook_id  uuid not null references ohmesh.webhook,
    event_id    uuid not null,
    kind        text not null,
    body        text not null,
    notice_id   bigint references ohmesh.notice,
    attempts    int not null default 0,
    next_try_at timestamptz,                      -- null: delivered, or given up
    delivered_at timestamptz,
    outcome     text not null default '',
    unique (webhook_id, event_id)
);
create index on ohmesh.webhook_delivery (next_try_at) where next_try_at is not null;

-- ---------------------------------------------------------------- the gate
alter table ohmesh.service_point add column area text not null default ''
    check (octet_length(area) <= 64);             -- such as its transformer; limits count by it
create table ohmesh.release (                     -- the gate alone writes it, and never takes one back
    command_id  uuid primary key references ohmesh.command,
    tenant_id   int not null references ohmesh.tenant,
    meter_id    int not null references ohmesh.meter,
    area        text not null,
    automatic   boolean not null,                 -- decided by prepayment, not asked for by a person
    at          timestamptz not null,
    not_after   timestamptz not null,
    octets      bytea not null                    -- ohmesh.wire.release
);
create index on ohmesh.release (tenant_id, at);
create table ohmesh.release_hold (                -- in quarantine: waits for two people or its deadline
    command_id  uuid primary key references ohmesh.command,
    tenant_id   int not null references ohmesh.tenant,
    reason      text not null,
    at          timestamptz not null
);
create table ohmesh.breaker (
    tenant_id   int primary key references ohmesh.tenant,
    opened_at   timestamptz,                      -- null: closed
    reason      text not null default '',
    closed_at   timestamptz
);
insert into ohmesh.breaker (tenant_id) select id from ohmesh.tenant;
create table ohmesh.release_approval (                    -- signed by a person; only the gate judges it
    id          bigint generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null,
    subject     text not null,
    not_after   timestamptz not null,
    signature   bytea not null,
    at          timestamptz not null default now(),
    unique (tenant_id, name, subject, not_after)
);
create trigger tell after insert on ohmesh.release_approval
    for each statement execute function ohmesh.tell_work();
create trigger tell after insert on ohmesh.release
    for each statement execute function ohmesh.tell_work();

-- ---------------------------------------------------------------- tokens
create table ohmesh.token_meter (                 -- how a meter takes tokens
    meter_id    int primary key references ohmesh.meter,
    tenant_id   int not null references ohmesh.tenant,
    vendor      text not null check (vendor in ('sts')),
    params      jsonb not null,                   -- identity and key of the meter, no key itself
    last_tid    int,
    last_tid_at timestamptz
);
create table ohmesh.token (
    id          uuid primary key,                 -- uuid5 of the request key
    tenant_id   int not null references ohmesh.tenant,
    meter_id    int not null references ohmesh.meter,
    account_id  int references ohmesh.account,
    request_key text not null,
    kind        text not null,
    units       bigint not null,
    amount_mu   bigint,                           -- reserved from the wallet; null: nothing is paid
    prepared    jsonb not null,                   -- all that the token is made of, kept before it is made
    token_sealed bytea,
    state       text not null check (state in ('prepared', 'issued', 'confirmed', 'failed', 'voided')),
    made_at     timestamptz not null,
    issued_at   timestamptz,
    unique (tenant_id, request_key)
);
create index on ohmesh.token (meter_id, made_at);

-- ---------------------------------------------------------------- who may do what
do $$
declare entity text;
begin
    foreach entity in array array['payment', 'reconciliation', 'ledger_stop', 'notice', 'webhook',
            'webhook_delivery', 'release', 'release_hold', 'breaker', 'release_approval', 'token_meter',
            'token'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (tenant_id = ohmesh.current_tenant())
                        with check (tenant_id = ohmesh.current_tenant())', entity);
        execute format('create policy all_tenants on ohmesh.%I
                        to ohmesh_owner, ohmesh_worker, ohmesh_gate
                        using (true) with check (true)', entity);
    end loop;
    foreach entity in array array['charge_month', 'charge_day', 'account_news'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner, ohmesh_worker
                        using (true) with check (true)', entity);
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (exists (select from ohmesh.account a where a.id = account_id))
                        with check (exists (select from ohmesh.account a where a.id = account_id))', entity);
    end loop;
    foreach entity in array array['service_point', 'meter', 'event', 'command', 'account', 'transfer',
                                  'account_balance', 'supply', 'tariff', 'gateway', 'meter_status'] loop
        execute format('create policy gate on ohmesh.%I to ohmesh_gate using (true) with check (true)', entity);
    end loop;
end $$;
drop policy one_tenant on ohmesh.account_balance;
create policy one_tenant on ohmesh.account_balance to ohmesh_api
    using (tenant_id = ohmesh.current_tenant()) with check (tenant_id = ohmesh.current_tenant());

revoke insert, update on ohmesh.account_balance from ohmesh_worker, ohmesh_api;
grant select on ohmesh.payment, ohmesh.reconciliation, ohmesh.ledger_stop, ohmesh.notice,
    ohmesh.webhook_delivery, ohmesh.release, ohmesh.release_hold, ohmesh.breaker, ohmesh.release_approval,
    ohmesh.token_meter, ohmesh.token, ohmesh.charge_month, ohmesh.charge_day, ohmesh.account_news
    to ohmesh_worker, ohmesh_api;
grant select on ohmesh.webhook to ohmesh_worker;
grant select (id, tenant_id, url, kinds, active, created_at) on ohmesh.webhook to ohmesh_api;
grant insert, update on ohmesh.payment, ohmesh.token, ohmesh.token_meter to ohmesh_worker, ohmesh_api;
grant insert on ohmesh.notice, ohmesh.webhook_delivery, ohmesh.account_news to ohmesh_worker, ohmesh_api;
grant update (accepted_at) on ohmesh.notice to ohmesh_worker;
grant update on ohmesh.webhook_delivery to ohmesh_worker;
grant delete on ohmesh.account_news to ohmesh_worker;
grant insert, update on ohmesh.charge_month, ohmesh.charge_day to ohmesh_worker;
grant insert, update on ohmesh.reconciliation to ohmesh_worker;
grant insert, delete on ohmesh.ledger_stop to ohmesh_worker;
grant insert, update (active) on ohmesh.webhook to ohmesh_api;
grant insert on ohmesh.release_approval to ohmesh_api;
grant update (terms, register_modulus_wh) on ohmesh.account to ohmesh_api;
grant update (area) on ohmesh.service_point to ohmesh_api;

grant usage on schema ohmesh to ohmesh_gate;
grant select on ohmesh.tenant, ohmesh.service_point, ohmesh.command, ohmesh.account,
    ohmesh.account_balance, ohmesh.supply, ohmesh.tariff, ohmesh.release, ohmesh.release_hold,
    ohmesh.breaker, ohmesh.release_approval, ohmesh.meter_status, ohmesh.ledger_stop to ohmesh_gate;
grant select (id, tenant_id, name, address, service_point_id) on ohmesh.meter to ohmesh_gate;
grant insert on ohmesh.release, ohmesh.event to ohmesh_gate;
grant insert, delete on ohmesh.release_hold to ohmesh_gate;
grant insert, update on ohmesh.breaker to ohmesh_gate;
grant usage on schema ohmesh_meta to ohmesh_gate;
grant select on ohmesh_meta.migration to ohmesh_gate;
