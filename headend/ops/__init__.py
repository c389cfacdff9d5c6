"""What an operator does beside serving: checks, the broker's files, the audit log."""
