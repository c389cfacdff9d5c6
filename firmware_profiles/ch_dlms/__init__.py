"""Switzerland: DLMS push lists with descriptions."""
