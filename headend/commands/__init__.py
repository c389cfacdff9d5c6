"""The way down: commands from their table to gateways, sent again until a result comes back."""
