"""M-Bus: the transport header and the data records of EN 13757-3 and -7, the frame of -2.

`link` checks the wired frame, `transport` reads the header, `security` opens it, `records` cuts
the application data into records with the help of `header`, `vif` and `value`; `fixed` and
`compact` read the two other structures. `telegram` puts them together; the radio side is
`firmware_profiles.codecs.wmbus`.
"""
