"""How fast and how evenly the test bench replays and records."""
