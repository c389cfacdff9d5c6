"""Scenarios: a fleet, its loads, a timeline of faults, and what must hold at the end.

`model` is what a file may say, `parse` reads it, `drivers` make it happen, `outcome` is what was
found, `expect` judges it, `report` tells it. The shipped files are in `shipped`.
"""
