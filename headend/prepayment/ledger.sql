-- name: insert_transfers
insert into ohmesh.transfer (id, tenant_id, account_id, currency, txn, debit, credit, amount_mu, code,
                             step, value_at, posted_at, idempotency_key, ref)
select u.id, %(tenant_id)s, %(account_id)s, %(currency)s, %(txn)s, u.debit, u.credit, u.amount_mu,
       u.code, u.step, %(value_at)s, %(now)s, u.key, u.ref::jsonb
from unnest(%(ids)s::uuid[], %(keys)s::text[], %(debits)s::text[], %(credits)s::text[],
            %(amounts)s::bigint[], %(codes)s::smallint[], %(steps)s::smallint[], %(refs)s::text[])
     as u (id, key, debit, credit, amount_mu, code, step, ref)
on conflict do nothing
returning id

-- name: find_transaction
select id, account_id, currency, debit, credit, amount_mu, code, ref, posted_at
from ohmesh.transfer where tenant_id = %(tenant_id)s and txn = %(txn)s
order by idempotency_key

-- name: settle
insert into ohmesh.transfer (id, tenant_id, account_id, currency, txn, debit, credit, amount_mu, code,
                             step, pending_id, value_at, posted_at, idempotency_key, ref)
select %(id)s, p.tenant_id, p.account_id, p.currency, p.txn, p.debit, p.credit, p.amount_mu, %(code)s,
       %(step)s, p.id, %(now)s, %(now)s, %(key)s, p.ref
from ohmesh.transfer p where p.id = %(pending_id)s and p.step = 1
on conflict do nothing

-- name: books
select book, (credits_mu - debits_mu) as posted_mu, debits_pending_mu as reserved_mu
from ohmesh.account_balance where account_id = %(account_id)s

-- name: purse
select a.currency, coalesce(w.credits_mu - w.debits_mu, 0)::bigint as posted_mu,
       coalesce(w.debits_pending_mu, 0)::bigint as reserved_mu, ls.tenant_id is not null as stopped
from ohmesh.account a
left join ohmesh.account_balance w on w.account_id = a.id and w.book = 'wallet'
left join ohmesh.ledger_stop ls on ls.tenant_id = a.tenant_id
where a.id = %(account_id)s

-- name: wallet
select credits_mu - debits_mu as wallet_mu
from ohmesh.account_balance where account_id = %(account_id)s and book = 'wallet'
