-- name: append
select ohmesh.audit(%(who)s, %(action)s, %(target)s, %(detail)s) as seq

-- name: append_if_changed
select ohmesh.audit_if_changed(%(who)s, %(action)s, %(target)s, %(detail)s) as seq

-- name: entries
select seq, at, who, action, target, detail, encode(hash, 'hex') as hash
from ohmesh.audit_log
where tenant_id = %(tenant_id)s and (%(before)s::bigint is null or seq < %(before)s)
  and (%(who)s::text is null or who = %(who)s)
order by seq desc limit %(limit)s

-- name: part
select seq, (extract(epoch from at) * 1000000)::bigint as at_us, who, action, target, detail, prev, hash
from ohmesh.audit_log
where tenant_id = %(tenant_id)s and seq > %(after)s order by seq limit %(limit)s

-- name: heads
select t.id as tenant_id, t.name, coalesce(h.seq, 0) as seq, coalesce(h.hash, '') as hash
from ohmesh.tenant t left join ohmesh.audit_head h on h.tenant_id = t.id order by t.id
