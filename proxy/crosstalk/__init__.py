"""Conversations of models with each other, each turn a call through this proxy like any client's."""
