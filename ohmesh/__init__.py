"""The shared core of ohmesh: the words (`model`), the mesh engine (`mesh`), the wire (`wire`)."""
