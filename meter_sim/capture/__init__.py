"""Captures: what went over a wire, with its time, in one file that can be cut, merged and replayed.

`format` draws the bytes, `record` and `block` are what stands in them, `writer` and `reader` are
the two ends; the rest works on records and knows no bytes.
"""
