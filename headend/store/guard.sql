-- name: role
select current_user as name, r.rolsuper as superuser, r.rolbypassrls as bypasses,
       exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname in ('ohmesh', 'bulk', 'api')
                 and pg_has_role(current_user, c.relowner, 'member')) as owns
from pg_roles r where r.rolname = current_user

-- name: durability
select name, setting from pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums')
