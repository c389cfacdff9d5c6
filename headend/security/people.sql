-- name: key_of
select * from ohmesh.key_of(%(digest)s)

-- name: session_of
select * from ohmesh.session_of(%(digest)s)

-- name: user_of
select * from ohmesh.user_of(%(name)s)

-- name: user_of_subject
select * from ohmesh.user_of_subject(%(subject)s)

-- name: user_of_link
select * from ohmesh.user_of_link(%(digest)s)

-- name: knows_users
select ohmesh.knows_users() as found

-- name: users
select u.name as "user", u.role, u.created_at, u.disabled_at, u.subject is not null as external
from ohmesh.app_user u
where u.tenant_id = %(tenant_id)s and u.name > %(after)s and (%(name)s::text is null or u.name = %(name)s)
order by u.name limit %(limit)s

-- name: insert_user
insert into ohmesh.app_user (tenant_id, name, role, subject)
values (%(tenant_id)s, %(name)s, %(role)s, %(subject)s)
on conflict do nothing
returning id

-- name: find_user
select id, name, role, disabled_at, subject is not null as external from ohmesh.app_user
where tenant_id = %(tenant_id)s and name = %(name)s

-- name: change_user
update ohmesh.app_user
set role = coalesce(%(role)s, role),
    disabled_at = case when %(disabled)s::boolean is null then disabled_at
                       when %(disabled)s then coalesce(disabled_at, now()) end
where tenant_id = %(tenant_id)s and id = %(id)s

-- name: set_password
update ohmesh.app_user set password_hash = %(password_hash)s
where tenant_id = %(tenant_id)s and id = %(user_id)s

-- name: drop_links
delete from ohmesh.setup_link where tenant_id = %(tenant_id)s and user_id = %(user_id)s

-- name: insert_link
insert into ohmesh.setup_link (digest, tenant_id, user_id, expires_at)
values (%(digest)s, %(tenant_id)s, %(user_id)s, %(expires_at)s)

-- name: use_link
delete from ohmesh.setup_link
where tenant_id = %(tenant_id)s and digest = %(digest)s and expires_at > now()
returning user_id

-- name: end_sessions
delete from ohmesh.session
where tenant_id = %(tenant_id)s and (user_id = %(user_id)s or expires_at < now())

-- name: insert_session
insert into ohmesh.session (digest, tenant_id, user_id, key_id, expires_at)
values (%(digest)s, %(tenant_id)s, %(user_id)s, %(key_id)s, %(expires_at)s)

-- name: end_session
delete from ohmesh.session where tenant_id = %(tenant_id)s and digest = %(digest)s

-- name: keys
select k.name as "key", k.scopes, k.person, k.created_at, k.expires_at
from ohmesh.api_key k
where k.tenant_id = %(tenant_id)s and k.revoked_at is null and k.name > %(after)s
  and (%(name)s::text is null or k.name = %(name)s)
order by k.name limit %(limit)s

-- name: insert_key
insert into ohmesh.api_key (tenant_id, name, digest, scopes, person, expires_at)
values (%(tenant_id)s, %(name)s, %(digest)s, %(scopes)s, %(person)s, %(expires_at)s)
on conflict do nothing
returning name

-- name: revoke_key
update ohmesh.api_key set revoked_at = now()
where tenant_id = %(tenant_id)s and name = %(name)s and revoked_at is null
returning name

-- name: find_digest
select id from ohmesh.api_key where tenant_id = %(tenant_id)s and digest = %(digest)s
