"""Channels opened: their form, their secrets, and whether they want to know what they were told before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from data.queries.channels import ChannelRow
from engine import channel_store
from engine.channels import CHANNELS, ChannelConfig, ChannelKind
from engine.errors import DeliveryError, RuleError, SecretUnreadable
from engine.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Ready:
    """A channel that can be used; one that `follows` changes its last message about an incident in place."""

    kind: ChannelKind
    config: ChannelConfig
    secrets: dict[str, Any]
    follows: bool


def opened(name: str, channel: ChannelRow | None, box: SecretBox) -> Ready:
    """A stored channel, ready to use; raises a permanent DeliveryError when it cannot be."""
    if channel is None:
        raise DeliveryError(f"channel {name!r} does not exist", permanent=True, tried=False)
    if not channel.enabled:
        why = f": {channel.disabled_reason}" if channel.disabled_reason else ""
        raise DeliveryError(f"channel {name!r} is disabled{why}", permanent=True, tried=False)
    try:
        config, secrets = channel_store.config_of(channel, box)
    except (RuleError, SecretUnreadable) as error:
        raise DeliveryError(f"channel {name!r} cannot be used: {error}", permanent=True) from error
    kind = CHANNELS[channel.kind]
    return Ready(kind, config, secrets, kind.follows(orjson.loads(channel.config)))


class ReadyChannels:
    """All channels as they were at the last look, each opened once for as long as nobody changes it."""

    def __init__(self, box: SecretBox) -> None:
        self._box = box
        self._rows: Mapping[str, ChannelRow] = {}
        self._ready: dict[str, Ready] = {}

    def know(self, rows: Mapping[str, ChannelRow]) -> None:
        """These are the stored channels now, by name."""
        self._ready = {name: made for name, made in self._ready.items() if rows.get(name) == self._rows.get(name)}
        self._rows = rows

    def ready(self, name: str) -> Ready:
        """See `opened`."""
        if name not in self._ready:
            self._ready[name] = opened(name, self._rows.get(name), self._box)
        return self._ready[name]
