"""Rule packs: when an automatic disconnection is allowed. Examples, not legal advice."""
