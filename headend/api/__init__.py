"""The head-end's HTTP API: `create_app` puts it together, everything else is a part of it."""
