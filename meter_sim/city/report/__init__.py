"""`ohmesh sim report`: a city hurt and healed, told on one page."""
