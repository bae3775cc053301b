"""What the worker does regularly beside evaluating rules."""
