"""Notification channels, one file a channel."""
