"""Telegrams that ship with the package, made with our own encoders or by hand."""
