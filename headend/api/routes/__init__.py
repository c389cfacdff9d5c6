"""The operations of `/v1`, a module per kind of thing; each module has one `router`."""
