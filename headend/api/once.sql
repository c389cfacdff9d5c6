-- name: lock
select pg_advisory_xact_lock(%(lock)s)

-- name: find
select request, sealed from ohmesh.kept_answer
where tenant_id = %(tenant_id)s and digest = %(digest)s and made_at > %(since)s

-- name: keep
with old as (
    select digest from ohmesh.kept_answer
    where tenant_id = %(tenant_id)s and made_at <= %(since)s and digest <> %(digest)s
    order by made_at limit 100 for update skip locked
), gone as (
    delete from ohmesh.kept_answer k using old
    where k.tenant_id = %(tenant_id)s and k.digest = old.digest
)
insert into ohmesh.kept_answer (tenant_id, digest, request, sealed, made_at)
values (%(tenant_id)s, %(digest)s, %(request)s, %(sealed)s, %(now)s)
on conflict (tenant_id, digest) do update
set request = excluded.request, sealed = excluded.sealed, made_at = excluded.made_at
