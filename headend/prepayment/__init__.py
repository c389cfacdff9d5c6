"""Prepayment, thin mode: the head-end owns the wallet, rates readings and drives the relay."""
