"""The release gate: alone lets a command out that takes supply away."""
