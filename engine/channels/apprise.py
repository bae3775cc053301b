"""Any other service by its Apprise URL: one URL, one `Apprise()` object, in a thread of its own.

Apprise tells neither a status nor a Retry-After, only yes or no, and the rest in its log, which is read here. Its own
retries are off: the outbox is around it.
"""

import hashlib
import logging
import re
from contextlib import ExitStack
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field

from engine.channels.channel import ChannelConfig, ChannelKind, Delivery, Receipt, Wire
from engine.channels.cutting import cut
from engine.channels.guard import guarding
from engine.channels.own_thread import Crowded, OwnThreads
from engine.channels.plain import text_of
from engine.errors import DeliveryError
from engine.notice import Notice, NoticeStatus

if TYPE_CHECKING:
    from apprise import NotifyBase

#: Services that act on this machine: its screen, its log, its devices, its files, programs that it starts.
LOCAL = frozenset(
    {
        *("blink1", "dbus", "qt", "kde", "glib", "gio", "gnome", "windows", "macosx"),
        *("syslog", "file", "exec", "script", "vapid", "deltachat", "deltachats"),
    }
)
#: Services whose connections are made where the guard against internal addresses does not see them.
UNSEEN = frozenset(
    {
        *("amqp", "amqps", "aprs", "growl", "irc", "ircs", "mqtt", "mqtts", "nostr", "nostrs"),
        *("rsyslog", "smpp", "smpps", "xmpp", "xmpps"),
    }
)
#: Parameters that name files of this machine.
_FILES = frozenset({"keyfile", "subfile", "template", "attach", "pgp", "pgppub", "pgpprv", "pgpkey", "storage"})
_STATUS = re.compile(r"\berror[=: ]+(\d{3})\b", re.IGNORECASE)
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_KINDS = {"critical": "failure", "high": "failure", "medium": "warning", "low": "info", "info": "info"}
_AT_ONCE = 4
_THREADS = OwnThreads(each=_AT_ONCE)
_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


def _checked(text: str) -> str:
    schema, _, rest = text.partition("://")
    if not rest or not re.fullmatch(r"[A-Za-z0-9+\-]{1,40}", schema):
        raise ValueError("must be an Apprise URL like service://…")
    if schema.lower() in LOCAL | UNSEEN:
        raise ValueError(
            f"{schema.lower()}:// is not possible here: it acts on this machine or makes its own connections"
        )
    named = {name.lower().lstrip("+-:") for name, _ in parse_qsl(urlsplit(text).query, keep_blank_values=True)}
    if files := sorted(named & _FILES):
        raise ValueError(f"must not name files of this machine ({', '.join(files)})")
    if _service(text) is None:
        raise ValueError(f"is not what {schema.lower()}:// takes; see https://appriseit.com/services/")
    return text


class AppriseConfig(ChannelConfig):
    """The URL of a service as Apprise writes it (`ntfy://…`, `discord://…`, `gotify://…`)."""

    url: Annotated[str, Field(max_length=2000), AfterValidator(_checked)]


async def notify(config: AppriseConfig, notice: Notice, delivery: Delivery, wire: Wire) -> Receipt:
    """Send by Apprise; raises DeliveryError, permanent where its log tells of a refusal or a blocked address."""
    del delivery, wire
    key = hashlib.sha256(config.url.encode()).hexdigest()
    try:
        return await _THREADS.run(key, lambda: _send(config, notice))
    except Crowded as error:
        raise DeliveryError(str(error)) from error


def _send(config: AppriseConfig, notice: Notice) -> Receipt:
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 - a large library that few homes need

    service = _service(config.url)
    if service is None:
        raise DeliveryError("Apprise does not take the URL any more", permanent=True)
    said: list[str] = []
    token = _said.set(said)
    try:
        with ExitStack() as guards:
            refusals = [] if config.allow_private else guards.enter_context(guarding())
            sender = Apprise(asset=service.asset)
            sender.add(service)
            done = sender.notify(**message(service, notice), body_format=NotifyFormat.TEXT)
    finally:
        _said.reset(token)
    answer = "\n".join(said)
    if refusals:
        raise DeliveryError(refusals[0], permanent=True, answer=answer)
    if not done:
        raise _refusal(answer)
    return Receipt(answer=answer or "Apprise: sent")


def message(service: "NotifyBase", notice: Notice) -> dict[str, Any]:
    """What the service is given, within its own limits."""
    ended = notice.status in (NoticeStatus.RESOLVED, NoticeStatus.ACKNOWLEDGED)
    body = text_of(notice, headline=not service.title_maxlen)
    return {
        "title": cut(notice.headline, service.title_maxlen) if service.title_maxlen else "",
        "body": cut(body, service.body_maxlen),
        "notify_type": "success" if ended else _KINDS.get(notice.severity, "warning"),
    }


def _refusal(answer: str) -> DeliveryError:
    statuses = [int(found) for found in _STATUS.findall(answer)]
    permanent = bool(statuses) and all(400 <= code < 500 and code not in _WORTH_ANOTHER_TRY for code in statuses)
    told = f": {answer}" if answer else ""
    return DeliveryError(
        f"Apprise could not send{told}", permanent=permanent, status=statuses[-1] if statuses else None, answer=answer
    )


def _service(url: str) -> "NotifyBase | None":
    """The service of a URL with its own retries, waits and redirects off; None when Apprise does not take it."""
    _listen()
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - as above

    asset = AppriseAsset(
        app_id="Claude Proxy Analytics",
        app_desc="Alerts",
        async_mode=False,
        plugin_paths=[],
        http_redirects=False,
        secure_logging=True,
    )
    service = Apprise.instantiate(url, asset=asset)
    if service is None or not hasattr(service, "send"):
        return None
    service.retry, service.wait, service.redirects = 0, 0.0, False
    return service


class _Ear(logging.Handler):
    """Hands what Apprise logs to the send that it is about."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the words, where somebody listens."""
        said = _said.get()
        if said is not None:
            said.append(record.getMessage())


@cache
def _listen() -> None:
    """Read Apprise's log, and keep it, which may quote addresses, out of ours."""
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(_Ear(level=logging.WARNING))


def preview(config: AppriseConfig, notice: Notice, delivery: Delivery) -> dict[str, Any]:
    """What Apprise is given for the service."""
    del delivery
    service = _service(config.url)
    return {} if service is None else {"service": str(service.service_name), **message(service, notice)}


APPRISE = ChannelKind(
    name="apprise",
    label="Any other (Apprise)",
    config=AppriseConfig,
    notify=notify,
    preview=preview,
    secrets=frozenset({"url"}),
    at_once=_AT_ONCE,
)
