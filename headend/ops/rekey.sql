-- name: meter_keys
select id::text as id, name, key_sealed as sealed from ohmesh.meter where key_sealed is not null

-- name: set_meter_keys
update ohmesh.meter t set key_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::int and t.key_sealed = n.old

-- name: market_keys
select id::text as id, name || '/market' as name, market_keys_sealed as sealed from ohmesh.meter
where market_keys_sealed is not null

-- name: set_market_keys
update ohmesh.meter t set market_keys_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::int and t.market_keys_sealed = n.old

-- name: next_keys
select id::text as id, name, next_key_sealed as sealed from ohmesh.meter where next_key_sealed is not null

-- name: set_next_keys
update ohmesh.meter t set next_key_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::int and t.next_key_sealed = n.old

-- name: former_keys
select id::text as id, name, old_key_sealed as sealed from ohmesh.meter where old_key_sealed is not null

-- name: set_former_keys
update ohmesh.meter t set old_key_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::int and t.old_key_sealed = n.old

-- name: key_changes
select c.id::text as id, m.name, c.body as sealed
from ohmesh.command c join ohmesh.meter m on m.id = c.meter_id
where c.kind = %(key_change)s and c.body <> ''

-- name: set_key_changes
update ohmesh.command t set body = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::uuid and t.body = n.old

-- name: webhook_secrets
select id::text as id, 'webhook/' || id as name, secret_sealed as sealed from ohmesh.webhook

-- name: set_webhook_secrets
update ohmesh.webhook t set secret_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::uuid and t.secret_sealed = n.old

-- name: tokens
select id::text as id, 'token/' || id as name, token_sealed as sealed from ohmesh.token
where token_sealed is not null

-- name: set_tokens
update ohmesh.token t set token_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::uuid and t.token_sealed = n.old

-- name: paygo_devices
select meter_id::text as id, params ->> 'meter' || '/paygo' as name,
       decode(params ->> 'secret', 'hex') as sealed
from ohmesh.token_meter where vendor = 'paygo'

-- name: set_paygo_devices
update ohmesh.token_meter t
set params = jsonb_set(t.params, '{secret}', to_jsonb(encode(n.anew, 'hex')))
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.meter_id = n.id::int and t.params ->> 'secret' = encode(n.old, 'hex')

-- name: paygo_tokens
select id::text as id, prepared -> 'device' ->> 'meter' || '/paygo' as name,
       decode(prepared -> 'device' ->> 'secret', 'hex') as sealed
from ohmesh.token where vendor = 'paygo'

-- name: set_paygo_tokens
update ohmesh.token t
set prepared = jsonb_set(t.prepared, '{device,secret}', to_jsonb(encode(n.anew, 'hex')))
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.id = n.id::uuid and t.prepared -> 'device' ->> 'secret' = encode(n.old, 'hex')

-- name: payment_channels
select tenant_id || '/' || name as id, 'channel/' || tenant_id || '/' || name as name,
       secret_sealed as sealed
from ohmesh.payment_channel

-- name: set_payment_channels
update ohmesh.payment_channel t set secret_sealed = n.anew
from unnest(%(ids)s::text[], %(old)s::bytea[], %(anew)s::bytea[]) as n (id, old, anew)
where t.tenant_id || '/' || t.name = n.id and t.secret_sealed = n.old

-- name: audit
select ohmesh.audit('operator', 'rekey', '', %(detail)s) from ohmesh.tenant where id = %(tenant)s
