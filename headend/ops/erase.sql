-- name: meter
-- billed: whether nothing of it waits to be billed.
select m.id, m.tenant_id,
       exists (select from ohmesh.account a where a.meter_id = m.id) as has_account,
       not exists (
           select from bulk.reading r
           where r.meter_id = m.id
             and r.ts > coalesce((select b.billed_to from ohmesh.billing_mark b
                                  where b.tenant_id = m.tenant_id), '-infinity')) as billed
from ohmesh.meter m where m.name = %(name)s

-- name: erase
select relation, erased from ohmesh.erase_meter(%(meter)s)

-- name: audit
select ohmesh.audit(%(who)s, 'erase_meter', %(target)s, %(detail)s)
