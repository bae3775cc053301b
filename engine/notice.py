"""What a notification says, as one value that every channel can render. No I/O, no clock."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote

import msgspec

from data.errors import UnknownMetric
from data.metrics import metric
from engine.amounts import quantity

#: Reasons of notices that only keep a provider's own record of an incident in step.
ACKNOWLEDGEMENT, UNACKNOWLEDGED = "acknowledgement", "unacknowledged"


class NoticeStatus(StrEnum):
    """What the notice reports."""

    FIRING = "firing"
    RESOLVED = "resolved"
    ACKNOWLEDGED = "acknowledged"
    MESSAGE = "message"  # about the system itself, not about an incident


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One incident among several that one notice tells of."""

    alert_id: str
    labels: Mapping[str, str] = {}
    summary: str = ""
    value: float | None = None
    threshold: float | None = None
    opened_at: datetime | None = None
    alert_url: str = ""

    @property
    def name(self) -> str:
        """Its labels on one line: `model=opus, team=a`."""
        return ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()) if value) or "all"


class Notice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One notification's content. Times are aware UTC; `value` and `threshold` are in `unit`.

    `reason` is why it is sent (`first`, `resolved`, `repeat`, `fallback`, `test`, …).
    """

    title: str
    status: NoticeStatus
    severity: str
    at: datetime
    reason: str = ""
    summary: str = ""  # one sentence, and `beside`
    message: str = ""  # the rule's own words
    alert_id: str = ""
    rule_id: str = ""
    rule_name: str = ""
    labels: Mapping[str, str] = {}
    metric: str = ""
    unit: str = ""
    value: float | None = None
    threshold: float | None = None
    opened_at: datetime | None = None
    resolved_at: datetime | None = None
    runbook: str = ""
    alert_url: str = ""
    rule_url: str = ""
    test: bool = False
    flaw: str = ""  # what went wrong while the message was made; shown, so that it gets mended
    groups: tuple[Member, ...] = ()  # what a notice of many incidents tells of, the worst first
    group_count: int = 0  # of all of them, the ones that are not in `groups` too
    beside: str = ""  # how it stands with the rule's other groups, in one sentence

    @property
    def headline(self) -> str:
        """Status, severity, title and group on one line, for subjects and previews."""
        state = "TEST" if self.test else self.status.value.upper()
        group = ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()) if value)
        return f"[{state}] [{self.severity.upper()}] {self.title}" + (f" ({group})" if group else "")

    @property
    def type(self) -> str:
        """The event's name in webhooks: `alert.firing`, `alert.resolved`, `system.message`."""
        prefix = "system" if self.status is NoticeStatus.MESSAGE else "alert"
        return f"{prefix}.{self.status.value}"


def beside(notice: Notice, words: str) -> Notice:
    """The notice that also says how it stands with the rule's other groups; '' leaves it as it is."""
    return msgspec.structs.replace(notice, summary=f"{notice.summary} {words}", beside=words) if words else notice


def alone(notice: Notice) -> Notice:
    """The notice without a word of other groups."""
    if not notice.beside:
        return notice
    return msgspec.structs.replace(notice, summary=notice.summary.removesuffix(notice.beside).rstrip(), beside="")


def encode(notice: Notice) -> str:
    """JSON text for the outbox."""
    return msgspec.json.encode(notice).decode()


def decode(text: str) -> Notice:
    """The notice that `encode` wrote; raises `msgspec.ValidationError`."""
    return msgspec.json.decode(text, type=Notice)


def links(public_url: str, *, alert_id: str, rule_id: str) -> tuple[str, str]:
    """Where the app shows this incident and this rule; '' and '' without an address of the app."""
    base = public_url.rstrip("/")
    if not base:
        return "", ""
    alert = f"{base}/alerts?q={quote(alert_id)}" if alert_id else ""
    rule = f"{base}/rules?rule={quote(rule_id)}" if rule_id else ""
    return alert, rule


def linked(notice: Notice, public_url: str) -> Notice:
    """The notice with its links filled in where it was made without knowing the app's address."""
    alert, rule = links(public_url, alert_id=notice.alert_id, rule_id=notice.rule_id)
    return msgspec.structs.replace(notice, alert_url=notice.alert_url or alert, rule_url=notice.rule_url or rule)


def facts(notice: Notice) -> list[tuple[str, str]]:
    """Labelled lines for a message: value, threshold, group, times; only what is known."""
    rows: list[tuple[str, str]] = []
    if notice.value is not None or (notice.metric and notice.status is not NoticeStatus.RESOLVED):
        rows.append((_label(notice.metric), quantity(notice.value, notice.unit)))
    if notice.threshold is not None:
        rows.append(("threshold", quantity(notice.threshold, notice.unit)))
    rows += [(name, value) for name, value in sorted(notice.labels.items()) if value]
    rows.append(("severity", notice.severity))
    rows += [("since", when(notice.opened_at))] if notice.opened_at else []
    if notice.resolved_at:
        rows.append(("resolved", when(notice.resolved_at)))
        rows += [("lasted", lasted(notice.resolved_at - notice.opened_at))] if notice.opened_at else []
    return rows


def _label(name: str) -> str:
    try:
        return metric(name).label.lower()
    except UnknownMetric:
        return name or "value"


def lasted(span: timedelta) -> str:
    """A length of time in its two largest units: `2 d 5 h`, `3 min 20 s`, `0 s`."""
    seconds = max(0, int(span.total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    found = [(hours // 24, "d"), (hours % 24, "h"), (minutes % 60, "min"), (seconds % 60, "s")]
    first = next((n for n, (count, _) in enumerate(found) if count), len(found) - 1)
    return " ".join(f"{count} {name}" for count, name in found[first : first + 2] if count) or "0 s"


def when(at: datetime) -> str:
    """A time as `2026-01-31 14:05:09 UTC`."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
