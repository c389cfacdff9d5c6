"""Wireless M-Bus: the layers of EN 13757-4 and -7 below the records, and maker formats.

`link` takes the block checks off and reads the link address, `extended` the extended link layer
(ELL), `authentication` the authentication and fragmentation layer (AFL); `telegram` goes through
them to the transport layer of `firmware_profiles.codecs.mbus`. `makers` reads the payloads of
the CI fields A0 to B7, whose format is the maker's own.
"""
