"""One module or package per encoding: bytes to values, or one DecodeError.

Shared: `cursor` (bounded reading, error makers), `crc`, `number` (exact numbers into registers),
`units` (unit codes and texts), `clock` (local time to UTC). `firmware_profiles.canonical` says
which register an OBIS code is, `firmware_profiles.spec` reads a profile.toml.
"""
