"""What every channel says of a notice, in its own layout: a headline, lines, facts, links, a colour. Pure."""

from engine.notice import Notice, NoticeStatus, facts

_SEVERITIES = {"critical": "#b91c1c", "high": "#dc2626", "medium": "#d97706", "low": "#2563eb", "info": "#64748b"}
_ENDED = {NoticeStatus.RESOLVED: "#15803d", NoticeStatus.ACKNOWLEDGED: "#64748b"}


def colour(notice: Notice) -> str:
    """The severity's colour while it fires, green once it is over: `#rrggbb`."""
    return _ENDED.get(notice.status) or _SEVERITIES.get(notice.severity, _SEVERITIES["info"])


def lines(notice: Notice) -> list[str]:
    """The sentences: whether it is a test, what happened, the rule's own words, and what was wrong with those."""
    mark = ["This is a test of the channel; nothing is wrong."] if notice.test else []
    flaw = [f"This is not said as configured: {notice.flaw}"] if notice.flaw else []
    return [line for line in (*mark, notice.summary, notice.message, *flaw) if line]


def links(notice: Notice) -> list[tuple[str, str]]:
    """Where to click: what for, and the address."""
    act = "Open the incident" if notice.status is NoticeStatus.RESOLVED else "Acknowledge or resolve"
    named = ((act, notice.alert_url), ("Rule", notice.rule_url), ("Runbook", notice.runbook))
    return [(name, url) for name, url in named if url]


def text_of(notice: Notice, *, headline: bool = True) -> str:
    """The whole notice as plain text."""
    width = max(len(name) for name, _ in facts(notice))
    table = "\n".join(f"{name:<{width}}  {value}" for name, value in facts(notice))
    urls = "\n".join(f"{name}: {url}" for name, url in links(notice))
    head = notice.headline if headline else ""
    return "\n\n".join(part for part in (head, *lines(notice), table, urls) if part) + "\n"
