"""Usage parsers, one file a protocol."""
