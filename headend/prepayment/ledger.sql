-- name: insert_transfer
insert into ohmesh.transfer (id, tenant_id, account_id, debit, credit, amount_mu, code, value_at,
                             posted_at, idempotency_key, ref)
values (%(id)s, %(tenant_id)s, %(account_id)s, %(debit)s, %(credit)s, %(amount_mu)s, %(code)s,
        %(value_at)s, %(now)s, %(idempotency_key)s, %(ref)s::jsonb)
on conflict do nothing
returning id

-- name: find_transfer
select id, account_id, debit, credit, amount_mu, code, ref, posted_at
from ohmesh.transfer where tenant_id = %(tenant_id)s and idempotency_key = %(idempotency_key)s

-- name: add_to_book
insert into ohmesh.account_balance (account_id, book, debits_mu, credits_mu)
values (%(account_id)s, %(book)s, %(debit_mu)s, %(credit_mu)s)
on conflict (account_id, book) do update
set debits_mu = account_balance.debits_mu + excluded.debits_mu,
    credits_mu = account_balance.credits_mu + excluded.credits_mu

-- name: wallet
select credits_mu - debits_mu as wallet_mu
from ohmesh.account_balance where account_id = %(account_id)s and book = 'wallet'
