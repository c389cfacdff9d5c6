"""`ohmesh bench`: how fast the head-end's parts are on this machine."""
