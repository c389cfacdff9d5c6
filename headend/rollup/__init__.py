"""Roll-ups of validated intervals by local hour, day and month."""
