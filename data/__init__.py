"""The store and everything that is asked of it."""
