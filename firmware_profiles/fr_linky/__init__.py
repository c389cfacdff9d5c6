"""France: the customer output (TIC) of Linky and of older electronic meters."""
