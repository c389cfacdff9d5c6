-- name: drop_tokens
delete from ohmesh.enrolment
where tenant_id = %(tenant_id)s and gateway_id = %(gateway_id)s and request is null

-- name: insert_token
insert into ohmesh.enrolment (digest, tenant_id, gateway_id, made_by, expires_at)
select %(digest)s, g.tenant_id, g.id, %(made_by)s, %(expires_at)s
from ohmesh.gateway g where g.tenant_id = %(tenant_id)s and g.id = %(gateway_id)s

-- name: tenant_of_token
select ohmesh.enrolment_of(%(digest)s) as tenant_id

-- name: tenant_of_certificate
select ohmesh.certificate_of(%(serial)s) as tenant_id

-- name: lock_token
select e.gateway_id, g.name as gateway, e.request
from ohmesh.enrolment e join ohmesh.gateway g on g.id = e.gateway_id
where e.tenant_id = %(tenant_id)s and e.digest = %(digest)s and e.expires_at > %(now)s
for update of e

-- name: use_token
update ohmesh.enrolment set request = %(request)s
where tenant_id = %(tenant_id)s and digest = %(digest)s

-- name: by_request
select pem from ohmesh.certificate
where tenant_id = %(tenant_id)s and request = %(request)s and revoked_at is null

-- name: lock_certificate
select c.gateway_id, g.name as gateway, c.pem, c.not_after
from ohmesh.certificate c join ohmesh.gateway g on g.id = c.gateway_id
where c.tenant_id = %(tenant_id)s and c.serial = %(serial)s and c.revoked_at is null
for update of c

-- name: insert_certificate
insert into ohmesh.certificate (serial, tenant_id, gateway_id, not_before, not_after, request, pem)
values (%(serial)s, %(tenant_id)s, %(gateway_id)s, %(not_before)s, %(not_after)s, %(request)s, %(pem)s)

-- name: revoke
update ohmesh.certificate set revoked_at = %(now)s
where tenant_id = %(tenant_id)s and gateway_id = %(gateway_id)s and revoked_at is null

-- name: certificates
select c.serial, g.name as gateway, c.not_before, c.not_after, c.revoked_at
from ohmesh.certificate c join ohmesh.gateway g on g.id = c.gateway_id
where c.tenant_id = %(tenant_id)s and c.gateway_id = %(gateway_id)s
  and (%(after)s::text is null or c.serial > %(after)s)
order by c.serial limit %(limit)s

-- name: revoked
-- Certificates that are in the list, and whether their gateway has no other one that is good.
select c.serial, c.revoked_at, g.name as gateway,
       not exists (select from ohmesh.certificate o where o.gateway_id = c.gateway_id
                   and o.revoked_at is null and o.not_after > %(now)s) as out
from ohmesh.certificate c join ohmesh.gateway g on g.id = c.gateway_id
where c.revoked_at is not null and c.not_after > %(now)s - interval '1 day'
order by c.serial
