"""Play records to a broker, a gateway's bench port or a serial line, at any speed.

`schedule` says when, `cast` says under which name, the targets deliver and keep account.
"""
