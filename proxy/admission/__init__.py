"""Whether a call may be made: its virtual key and the key's limits."""
