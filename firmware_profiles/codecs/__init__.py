"""One module or package per encoding: bytes to values, or one DecodeError."""
