-- name: tend
select bulk.tend(%(now)s) as made

-- name: needs
select bulk.billing_needs() as since

-- name: retire
select bulk.retire(%(what)s, %(before)s) as gone
-- name: retire_slots
-- A month of readings goes at once, so those of a month before may still be there.
delete from bulk.read_slots where day < (%(before)s::timestamptz at time zone 'UTC')::date - 31
