"""What meters of each country send and obey: pure functions and data, no I/O, no clock."""
