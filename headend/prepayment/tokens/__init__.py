"""Tokens that a customer carries to the meter: STS format, OpenPAYGO and UTRN numbers.

STS-format, not certified: published algorithms, sample tables and test keys only. The production
tables of the Standard Transfer Algorithm and real vending keys belong to licensees and to their
security modules; see `security`.
"""
