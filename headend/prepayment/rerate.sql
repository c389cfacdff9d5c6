-- name: add
insert into ohmesh.rerate (id, tenant_id, account_id, from_day, dry_run, reason, asked_at)
values (%(id)s, %(tenant_id)s, %(account_id)s, %(from_day)s, %(dry_run)s, %(reason)s, %(now)s)
on conflict do nothing
returning id

-- name: find
select r.id, r.tenant_id, r.account_id, a.name as contract, a.currency, r.from_day, r.dry_run, r.reason,
       r.asked_at, r.state, r.difference_mu, r.days, r.done_at, r.problem
from ohmesh.rerate r join ohmesh.account a on a.id = r.account_id
where r.tenant_id = %(tenant_id)s and r.id = %(id)s

-- name: approve
update ohmesh.rerate set state = 'approved'
where tenant_id = %(tenant_id)s and id = %(id)s and state = 'weighed'
returning id

-- name: waiting
select id, account_id from ohmesh.rerate where state in ('asked', 'approved') order by asked_at limit %(limit)s

-- name: lock
select id, account_id, from_day, dry_run, state, difference_mu from ohmesh.rerate
where id = %(id)s and state in ('asked', 'approved') for update

-- name: end
update ohmesh.rerate
set state = %(state)s, difference_mu = coalesce(%(difference_mu)s, difference_mu),
    days = coalesce(%(days)s, days), done_at = %(now)s, problem = %(problem)s
where id = %(id)s
