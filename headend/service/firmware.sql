-- name: add_firmware
insert into ohmesh.firmware (tenant_id, name, version, sha256, image, added_by, added_at)
values (%(tenant_id)s, %(name)s, %(version)s, %(sha256)s, %(image)s, %(added_by)s, %(now)s)
on conflict do nothing
returning id

-- name: find_firmware
select name, version, length(image) as size, sha256, added_at
from ohmesh.firmware where tenant_id = %(tenant_id)s and name = %(name)s

-- name: list_firmware
select name, version, length(image) as size, sha256, added_at
from ohmesh.firmware where tenant_id = %(tenant_id)s and name > %(after)s order by name limit %(limit)s
