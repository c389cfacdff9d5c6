"""PostgreSQL: schema, statements, connections."""
