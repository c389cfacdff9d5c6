-- name: due
select d.id, d.webhook_id, d.event_id, d.kind, d.body, d.notice_id, d.attempts, d.tenant_id,
       w.url, w.secret_sealed, w.active
from ohmesh.webhook_delivery d join ohmesh.webhook w on w.id = d.webhook_id
where d.next_try_at <= %(now)s
order by d.next_try_at limit %(limit)s
for update of d skip locked

-- name: lease
update ohmesh.webhook_delivery set next_try_at = %(until)s, attempts = attempts + 1
where id = any (%(ids)s)

-- name: delivered
update ohmesh.webhook_delivery
set next_try_at = null, delivered_at = %(now)s, outcome = %(outcome)s where id = %(id)s

-- name: failed
update ohmesh.webhook_delivery
set next_try_at = %(next_try_at)s, outcome = %(outcome)s where id = %(id)s

-- name: accept_notice
-- The customer's gateway has taken the notice; the account is looked at again.
with taken as (
    update ohmesh.notice set accepted_at = %(now)s
    where id = %(notice_id)s and accepted_at is null returning account_id
)
insert into ohmesh.account_news (account_id) select account_id from taken

-- name: insert_webhook
insert into ohmesh.webhook (id, tenant_id, url, kinds, secret_sealed, created_at)
values (%(id)s, %(tenant_id)s, %(url)s, %(kinds)s, %(secret_sealed)s, %(now)s)

-- name: webhooks
select id, url, kinds, active, created_at from ohmesh.webhook
where tenant_id = %(tenant_id)s and active and (%(after)s::uuid is null or id > %(after)s)
order by id limit %(limit)s

-- name: stop_webhook
update ohmesh.webhook set active = false
where tenant_id = %(tenant_id)s and id = %(id)s and active
returning id, url, kinds, created_at

-- name: find_webhook
select id from ohmesh.webhook where tenant_id = %(tenant_id)s and id = %(id)s

-- name: deliveries
select d.id, d.event_id, d.kind, d.attempts, d.delivered_at, d.next_try_at, d.outcome
from ohmesh.webhook_delivery d
where d.tenant_id = %(tenant_id)s and d.webhook_id = %(webhook_id)s
  and (%(before)s::bigint is null or d.id < %(before)s)
order by d.id desc limit %(limit)s
