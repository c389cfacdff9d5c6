-- name: clock
select clock_timestamp() as at

-- name: lock_tenants
-- One gate at a time judges: a second one finds the first one's releases in the books.
select pg_advisory_xact_lock(hashtext('ohmesh gate'))

-- name: waiting
select c.id, c.tenant_id, c.meter_id, c.account_id, c.decision_seq, c.requested_by, c.not_after,
       m.address, coalesce(p.area, '') as area, coalesce(p.zone, 'UTC') as zone,
       a.name as account, a.terms::text as terms, s.kept::text as kept,
       coalesce(w.credits_mu - w.debits_mu, 0)::bigint as wallet_mu,
       ls.tenant_id is not null as stopped,
       h.reason as held
from ohmesh.command c
join ohmesh.meter m on m.id = c.meter_id
left join ohmesh.service_point p on p.id = m.service_point_id
left join ohmesh.account a on a.meter_id = c.meter_id
left join ohmesh.supply s on s.account_id = a.id
left join ohmesh.account_balance w on w.account_id = a.id and w.book = 'wallet'
left join ohmesh.ledger_stop ls on ls.tenant_id = c.tenant_id
left join ohmesh.release_hold h on h.command_id = c.id
where c.state in ('queued', 'sent', 'in_field') and c.kind = any (%(guarded)s)
  and c.not_after > %(now)s
  and not exists (select from ohmesh.release r where r.command_id = c.id)
order by c.created_at, c.id limit %(limit)s

-- name: released
-- An approval that did not count is no reason to count less: only those that were released so.
select area, automatic, at, approved
from ohmesh.release r
where tenant_id = %(tenant_id)s and at > %(since)s order by at

-- name: held
select h.at, c.requested_by = %(automatic)s as automatic
from ohmesh.release_hold h join ohmesh.command c on c.id = h.command_id
where h.tenant_id = %(tenant_id)s and h.at > %(since)s

-- name: history
-- Automatic releases of this hour, one, two, three and four weeks ago.
select week, (select count(*) from ohmesh.release r
              where r.tenant_id = %(tenant_id)s and r.automatic
                and r.at > %(now)s - week * interval '7 days' - interval '1 hour'
                and r.at <= %(now)s - week * interval '7 days') as cuts,
       (select min(at) from ohmesh.release r where r.tenant_id = %(tenant_id)s) as first_at
from generate_series(1, 4) week

-- name: sizes
-- Only what the field has been heard of, which ingest alone can write down: who may register meters
-- must not raise the limits by it.
select coalesce(p.area, '') as area, count(*) as meters
from ohmesh.meter m
join ohmesh.meter_status s on s.meter_id = m.id and s.last_seen is not null
left join ohmesh.service_point p on p.id = m.service_point_id
where m.tenant_id = %(tenant_id)s group by 1

-- name: contracts
-- As with `sizes`.
select count(*) as contracts
from ohmesh.account a
join ohmesh.meter_status s on s.meter_id = a.meter_id and s.last_seen is not null
where a.tenant_id = %(tenant_id)s

-- name: breaker
select opened_at, closed_at from ohmesh.breaker where tenant_id = %(tenant_id)s

-- name: set_breaker
insert into ohmesh.breaker (tenant_id, opened_at, reason, closed_at)
values (%(tenant_id)s, %(opened_at)s, %(reason)s, %(closed_at)s)
on conflict (tenant_id) do update
set opened_at = excluded.opened_at, reason = excluded.reason, closed_at = excluded.closed_at

-- name: open_breakers
select tenant_id, opened_at from ohmesh.breaker where opened_at is not null

-- name: approvals
select name, subject, not_after, signature from ohmesh.release_approval
where tenant_id = %(tenant_id)s and subject = %(subject)s and not_after > %(now)s

-- name: insert_release
insert into ohmesh.release (command_id, tenant_id, meter_id, area, automatic, approved, at,
                            not_after, octets)
values (%(command_id)s, %(tenant_id)s, %(meter_id)s, %(area)s, %(automatic)s, %(approved)s, %(now)s,
        %(not_after)s, %(octets)s)

-- name: hold
insert into ohmesh.release_hold (command_id, tenant_id, reason, at)
values (%(command_id)s, %(tenant_id)s, %(reason)s, %(now)s)
on conflict do nothing returning command_id

-- name: unhold
delete from ohmesh.release_hold where command_id = %(command_id)s

-- name: insert_event
insert into ohmesh.event (tenant_id, at, kind, detail)
values (%(tenant_id)s, %(at)s, %(kind)s, %(detail)s::jsonb)
