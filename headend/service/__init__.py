"""What the head-end can be asked to do: one plan (`headend.store.plan`) per business event.

A plan neither opens a connection nor commits: whoever runs it does both, so that one event is
one transaction. The API runs plans with `headend.store.db.run_async`, the worker with `run`.
"""
