"""`ohmesh demo`: the whole stack on one machine, from nothing to a living AMI, and its audit."""
