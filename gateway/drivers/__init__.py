"""Where telegrams come from: one file a source, each importing its own library."""
