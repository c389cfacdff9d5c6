"""Tokens in the STS format as both ends know them: the vendor makes them, the meter takes them.

STS-format, not certified: published algorithms and sample tables only. What holds vending keys and
makes tokens is the head-end's (`headend.prepayment.tokens`).
"""
