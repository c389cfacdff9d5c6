"""Who may do what: roles, keys, users, sessions, the audit log; pure parts apart from the store."""
