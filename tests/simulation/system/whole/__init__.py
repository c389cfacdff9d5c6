"""The whole way from a meter's register to a customer's switch, in one process on virtual time.

Theory of operation. What decides is the product's own: the mesh's stations, the gateway's outbox
file, sender, downlink and guard, ingest's pump, decoder and transaction, the dispatcher's plans,
the prepayment engine and its cut-off. Played are only what carries and keeps: the air and the
clock (`ohmesh.mesh.testing.World`), a card that loses power (`fault_disk`), a broker, and a store
that answers the product's named statements from memory (`store`). `dice` draws every fault from
one seed; the same seed gives the same run, told by a hash over all that was sent and committed.

After each step the invariants hold (`judge`); in the end all is healed and must come to rest.
"""
