"""Read success: which intervals were read in time, and whose fault each missing one is."""
