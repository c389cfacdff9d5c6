-- name: tend
select bulk.tend(%(now)s) as made

-- name: needs
select bulk.billing_needs() as since

-- name: retire
select bulk.retire(%(what)s, %(before)s) as gone
