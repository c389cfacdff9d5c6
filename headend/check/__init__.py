"""`ohmesh check`: the product's own code judged by files of vectors."""
