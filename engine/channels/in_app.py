"""The app's own inbox: a row that stays unread until somebody reads it."""

from engine.channels.channel import ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.plain import lines
from engine.notice import Notice


class InAppConfig(ChannelConfig):
    """Nothing to fill in."""


async def notify(config: InAppConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Put the notice into the inbox, once an id."""
    del config
    await wire.show(delivery.id, notice)
    return Receipt(answer="stored", provider_id=delivery.id)


def preview(config: InAppConfig, notice: Notice, delivery: Delivery) -> dict[str, str]:
    """What the inbox shows."""
    del config, delivery
    return {"title": notice.headline, "body": "\n".join(lines(notice))}


IN_APP = ChannelKind(name="in_app", label="In the app", config=InAppConfig, notify=notify, preview=preview)
