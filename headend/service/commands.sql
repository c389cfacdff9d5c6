-- name: find_meter
select m.id, m.key_sealed is not null as has_key
from ohmesh.meter m where m.tenant_id = %(tenant_id)s and m.name = %(meter)s

-- name: find_by_key
select c.*, m.name as meter from ohmesh.command c join ohmesh.meter m on m.id = c.meter_id
where c.tenant_id = %(tenant_id)s and c.idempotency_key = %(idempotency_key)s

-- name: find_command
select c.*, m.name as meter from ohmesh.command c join ohmesh.meter m on m.id = c.meter_id
where c.tenant_id = %(tenant_id)s and c.id = %(id)s
for no key update of c

-- name: lock_sequence
select pg_advisory_xact_lock(1869114739, %(meter_id)s)

-- name: pend_key
-- A key that is pending already stays: the meter may have taken it and its answer be on the way.
update ohmesh.meter
set next_key_sealed = coalesce(next_key_sealed, %(key)s), next_key_command = %(command)s
where id = %(meter_id)s returning next_key_sealed

-- name: insert_command
-- Above all numbers of before, also of those that a restored database has forgotten (ADR 0049).
insert into ohmesh.command (id, tenant_id, meter_id, kind, argument, body, sequence, priority, not_after,
                            idempotency_key, requested_by, created_at, next_try_at, account_id,
                            decision_seq)
values (%(id)s, %(tenant_id)s, %(meter_id)s, %(kind)s, %(argument)s, %(body)s,
        (select greatest(max(sequence) + 1, %(floor)s) from ohmesh.command where meter_id = %(meter_id)s),
        %(priority)s, %(not_after)s, %(idempotency_key)s, %(requested_by)s, %(now)s, %(now)s,
        %(account_id)s, %(decision_seq)s)
on conflict do nothing
returning *

-- name: set_state
update ohmesh.command
set state = %(state)s, resolved_at = %(resolved_at)s, detail = %(detail)s
where id = %(id)s
