"""What a page asks: ranges and filters."""
