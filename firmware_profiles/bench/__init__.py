"""How fast the codecs are, against other projects' decoders in processes of their own."""
