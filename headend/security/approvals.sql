-- name: ask
insert into ohmesh.approval (tenant_id, operation, request, digest, requested_by, expires_at)
values (%(tenant_id)s, %(operation)s, %(request)s, %(digest)s, %(person)s, %(expires_at)s)
on conflict (tenant_id, digest) do nothing

-- name: find
select id, operation, request, requested_by, requested_at, expires_at, decided_by, decided_at, approved
from ohmesh.approval where tenant_id = %(tenant_id)s and digest = %(digest)s

-- name: one
select id, operation, request, requested_by, requested_at, expires_at, decided_by, decided_at, approved
from ohmesh.approval where tenant_id = %(tenant_id)s and id = %(id)s

-- name: list
select id, operation, request, requested_by, requested_at, expires_at, decided_by, decided_at, approved
from ohmesh.approval
where tenant_id = %(tenant_id)s and (%(before)s::timestamptz is null or (requested_at, id) < (%(before)s, %(before_id)s))
order by requested_at desc, id desc limit %(limit)s

-- name: decide
update ohmesh.approval set decided_by = %(person)s, decided_at = %(now)s, approved = %(approved)s
where tenant_id = %(tenant_id)s and id = %(id)s and decided_by is null and expires_at > %(now)s
returning id
