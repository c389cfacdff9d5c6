-- Users, API keys, sessions, approvals and the audit log.
--
-- Who a caller is must be found before the tenant is known: the functions below look a secret's
-- digest up across tenants and show what belongs to it alone. ohmesh_api has no other way across.

create table ohmesh.app_user (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null unique check (name ~ '^[A-Za-z0-9_.@+-]{1,120}$'),
    role        text not null,
    password_hash text,                           -- Argon2id; null: not set up, or signs in elsewhere
    subject     text unique,                      -- issuer and subject at the OpenID provider
    created_at  timestamptz not null default now(),
    disabled_at timestamptz
);

create table ohmesh.setup_link (                  -- chooses a password, once
    digest      bytea primary key,                -- SHA-256 of what the link carries
    tenant_id   int not null references ohmesh.tenant,
    user_id     int not null references ohmesh.app_user on delete cascade,
    expires_at  timestamptz not null
);

create table ohmesh.api_key (
    id          int generated always as identity primary key,
    tenant_id   int not null references ohmesh.tenant,
    name        text not null check (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    digest      bytea not null unique,            -- SHA-256; the key itself is nowhere
    scopes      text[] not null,
    person      text not null,                    -- who made it
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
create unique index on ohmesh.api_key (tenant_id, name) where revoked_at is null;

create table ohmesh.session (
    digest      bytea primary key,
    tenant_id   int not null references ohmesh.tenant,
    user_id     int references ohmesh.app_user on delete cascade,
    key_id      int references ohmesh.api_key on delete cascade,
    expires_at  timestamptz not null,
    check ((user_id is null) <> (key_id is null))
);
create index on ohmesh.session (expires_at);
create index on ohmesh.session (user_id);

create table ohmesh.approval (                    -- two people for one deed
    id          uuid primary key default gen_random_uuid(),
    tenant_id   int not null references ohmesh.tenant,
    operation   text not null,
    request     text not null,                    -- method, path and body, for the second person to read
    digest      bytea not null,                   -- of exactly that and the idempotency key
    requested_by text not null,                   -- the person
    requested_at timestamptz not null default now(),
    expires_at  timestamptz not null,
    decided_by  text,
    decided_at  timestamptz,
    approved    boolean,
    check (decided_by is distinct from requested_by),
    unique (tenant_id, digest)
);
create index on ohmesh.approval (tenant_id, requested_at desc);

-- ---------------------------------------------------------------- audit
create table ohmesh.audit_log (                   -- only ohmesh.audit() writes here; nobody changes a row
    tenant_id   int not null references ohmesh.tenant,
    seq         bigint not null,
    at          timestamptz not null,
    who         text not null,
    action      text not null,
    target      text not null,
    detail      text not null,
    prev        bytea not null,
    hash        bytea not null,
    primary key (tenant_id, seq),
    unique (tenant_id, prev)
);
create table ohmesh.audit_head (
    tenant_id   int primary key references ohmesh.tenant,
    seq         bigint not null,
    hash        bytea not null
);

-- hash = SHA-256(prev || fields), each field as its length in octets, a colon, and its UTF-8; the
-- time in microseconds since 1970. The head's row lock keeps the chain from forking. It writes into
-- the log of the transaction's tenant, whoever calls it.
create function ohmesh.audit(who text, action text, target text, detail text)
    returns bigint language plpgsql security definer set search_path = '' as
$$
declare
    tenant int := ohmesh.current_tenant();
    head ohmesh.audit_head;
    stamp timestamptz;
    field text;
    body text := '';
    sum bytea;
begin
    insert into ohmesh.audit_head values (tenant, 0, '\x') on conflict do nothing;
    select * into head from ohmesh.audit_head h where h.tenant_id = tenant for update;
    stamp := clock_timestamp();
    foreach field in array array[
        tenant::text, (head.seq + 1)::text,
        (extract(epoch from stamp) * 1000000)::bigint::text, who, action, target, detail
    ] loop
        body := body || octet_length(field) || ':' || field;
    end loop;
    sum := sha256(head.hash || convert_to(body, 'UTF8'));
    insert into ohmesh.audit_log values
        (tenant, head.seq + 1, stamp, who, action, target, detail, head.hash, sum);
    update ohmesh.audit_head h set seq = head.seq + 1, hash = sum where h.tenant_id = tenant;
    return head.seq + 1;
end $$;

-- Only when the transaction has changed something.
create function ohmesh.audit_if_changed(who text, action text, target text, detail text)
    returns bigint language sql as
$$
    select ohmesh.audit(who, action, target, detail)
    where pg_current_xact_id_if_assigned() is not null
$$;

-- ---------------------------------------------------------------- who is it
create function ohmesh.key_of(shown bytea)
    returns table (key_id int, tenant_id int, name text, scopes text[], person text)
    language sql stable security definer set search_path = '' as
$$
    select k.id, k.tenant_id, k.name, k.scopes, k.person from ohmesh.api_key k
    where k.digest = shown and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > now())
$$;

create function ohmesh.session_of(shown bytea)
    returns table (tenant_id int, user_name text, role text, key_name text, scopes text[], person text)
    language sql stable security definer set search_path = '' as
$$
    select s.tenant_id, u.name, u.role, k.name, k.scopes, coalesce(u.name, k.person)
    from ohmesh.session s
    left join ohmesh.app_user u on u.id = s.user_id and u.disabled_at is null
    left join ohmesh.api_key k on k.id = s.key_id and k.revoked_at is null
        and (k.expires_at is null or k.expires_at > now())
    where s.digest = shown and s.expires_at > now() and coalesce(u.id, k.id) is not null
$$;

create function ohmesh.user_of(login text)
    returns table (user_id int, tenant_id int, name text, role text, password_hash text)
    language sql stable security definer set search_path = '' as
$$
    select u.id, u.tenant_id, u.name, u.role, u.password_hash from ohmesh.app_user u
    where u.name = login and u.disabled_at is null
$$;

create function ohmesh.user_of_subject(shown text)
    returns table (user_id int, tenant_id int, name text, role text, disabled boolean)
    language sql stable security definer set search_path = '' as
$$
    select u.id, u.tenant_id, u.name, u.role, u.disabled_at is not null from ohmesh.app_user u
    where u.subject = shown
$$;

create function ohmesh.user_of_link(shown bytea)
    returns table (user_id int, tenant_id int, name text)
    language sql stable security definer set search_path = '' as
$$
    select u.id, u.tenant_id, u.name from ohmesh.setup_link l
    join ohmesh.app_user u on u.id = l.user_id
    where l.digest = shown and l.expires_at > now() and u.disabled_at is null
$$;

create function ohmesh.knows_users() returns boolean
    language sql stable security definer set search_path = '' as
$$ select exists (select from ohmesh.app_user u where u.password_hash is not null or u.subject is not null) $$;

-- ---------------------------------------------------------------- row-level security, grants
do $$
declare entity text;
begin
    foreach entity in array array['app_user', 'setup_link', 'api_key', 'session', 'approval',
                                  'audit_log', 'audit_head'] loop
        execute format('alter table ohmesh.%I enable row level security', entity);
        execute format('alter table ohmesh.%I force row level security', entity);
        execute format('create policy one_tenant on ohmesh.%I to ohmesh_api
                        using (tenant_id = ohmesh.current_tenant())
                        with check (tenant_id = ohmesh.current_tenant())', entity);
        execute format('create policy all_tenants on ohmesh.%I to ohmesh_owner
                        using (true) with check (true)', entity);
    end loop;
end $$;

grant select (id, tenant_id, name, role, subject, created_at, disabled_at) on ohmesh.app_user to ohmesh_api;
grant insert (tenant_id, name, role, subject) on ohmesh.app_user to ohmesh_api;
grant update (role, password_hash, disabled_at) on ohmesh.app_user to ohmesh_api;
grant select (tenant_id, user_id, expires_at, digest), insert, delete on ohmesh.setup_link to ohmesh_api;
grant select (id, tenant_id, name, digest, scopes, person, created_at, expires_at, revoked_at) on ohmesh.api_key to ohmesh_api;
grant insert (tenant_id, name, digest, scopes, person, expires_at) on ohmesh.api_key to ohmesh_api;
grant update (revoked_at) on ohmesh.api_key to ohmesh_api;
grant select, insert, delete on ohmesh.session to ohmesh_api;
grant select, insert on ohmesh.approval to ohmesh_api;
grant update (decided_by, decided_at, approved) on ohmesh.approval to ohmesh_api;
grant select on ohmesh.audit_log, ohmesh.audit_head to ohmesh_api;

revoke all on function ohmesh.audit(text, text, text, text) from public;
revoke all on function ohmesh.key_of(bytea), ohmesh.session_of(bytea), ohmesh.user_of(text),
    ohmesh.user_of_subject(text), ohmesh.user_of_link(bytea), ohmesh.knows_users() from public;
grant execute on function ohmesh.audit(text, text, text, text), ohmesh.key_of(bytea), ohmesh.session_of(bytea),
    ohmesh.user_of(text), ohmesh.user_of_subject(text), ohmesh.user_of_link(bytea), ohmesh.knows_users()
    to ohmesh_api;
