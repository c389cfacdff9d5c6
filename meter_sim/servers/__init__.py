"""Real servers on loopback for the demo, tests and benches: PostgreSQL and an MQTT broker.

Both come from wheels: no root, no Docker, no system package.
"""
