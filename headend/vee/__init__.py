"""Validation, estimation and editing: raw readings become intervals that can be billed."""
