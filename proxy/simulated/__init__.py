"""A provider made of clockwork, for demos, replays and tests."""
