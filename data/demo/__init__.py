"""A made-up team's history, for a first look and for tests."""

from data.demo.history import DEFAULT_DAYS, DEFAULT_REQUESTS, generate, load
from data.demo.storyline import Story, story

__all__ = ["DEFAULT_DAYS", "DEFAULT_REQUESTS", "Story", "generate", "load", "story"]
