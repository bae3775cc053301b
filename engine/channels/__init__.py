"""Ways for a notification to reach people, one file a kind."""

from engine.channels.channel import ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.registry import CHANNELS

__all__ = ["CHANNELS", "ChannelConfig", "ChannelKind", "Delivery", "Receipt", "Wire"]
