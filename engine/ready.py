"""The channel of a notification, opened: its form, its secrets, and what it was told before."""

from dataclasses import dataclass
from typing import Any

import orjson

from data.queries import notifications as rows
from data.queries.notifications import NotificationRow
from data.store import Store
from engine import channel_store
from engine.channels import CHANNELS, ChannelConfig, ChannelKind
from engine.errors import DeliveryError, RuleError, SecretUnreadable
from engine.secrets import SecretBox


@dataclass(frozen=True, slots=True)
class Ready:
    """A channel that can be used; `earlier` is the provider's id of what it was told before of this incident."""

    kind: ChannelKind
    config: ChannelConfig
    secrets: dict[str, Any]
    earlier: str


def ready_for(store: Store, box: SecretBox, row: NotificationRow) -> Ready:
    """The channel of a notification, ready to use; raises a permanent DeliveryError when it cannot be."""
    name = row.channel
    channel = channel_store.by_name(store, name)
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
    follows = row.alert_id and kind.follows(orjson.loads(channel.config))
    return Ready(kind, config, secrets, rows.earlier(store, row.alert_id, name) if follows else "")
