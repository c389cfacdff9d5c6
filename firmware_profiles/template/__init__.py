"""The files of a new profile package; `$name` and the like are filled in by `profiles new`."""
