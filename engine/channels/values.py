"""What a channel's template can name of a notice. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import structs, to_builtins

from engine import sample, templates
from engine.errors import TemplateFault
from engine.notice import Member, Notice, NoticeStatus, when

#: What a template can name of a notice.
NAMES = frozenset({*Notice.__struct_fields__, "headline", "type"})


def check_words(text: str) -> str:
    """A template over a notice, as it came; a ValueError says what is wrong with it."""
    try:
        templates.check(text, NAMES)
    except TemplateFault as error:
        raise ValueError(str(error)) from error
    return text


def try_words(text: str, fill: templates.Fill) -> None:
    """Raise TemplateFault for a template that no notice can fill in; `fill` is how it will be filled in."""
    templates.try_out(text, (values_of(notice) for notice in _samples()), fill=fill)


def _samples() -> Iterator[Notice]:
    """A notice with all there is to say, one of a few groups that is over, and one with hardly anything."""
    at = datetime(2026, 1, 31, 14, tzinfo=UTC)
    full = structs.replace(sample.incident(at), reason="first", opened_at=at - timedelta(hours=1), test=False)
    yield full
    over = structs.replace(full, status=NoticeStatus.RESOLVED, resolved_at=at, labels={"model": "1"})
    yield structs.replace(over, groups=(Member(alert_id="1", labels={"model": "1"}),), group_count=1)
    yield Notice(title="A word", status=NoticeStatus.MESSAGE, severity="info", at=at)


def values_of(notice: Notice) -> dict[str, Any]:
    """The values of `NAMES`."""
    return {**fields_of(notice), "at": when(notice.at), "headline": notice.headline, "type": notice.type}


def fields_of(notice: Notice) -> dict[str, Any]:
    """The notice's own fields but for its time."""
    fields: dict[str, Any] = {name: getattr(notice, name) for name in notice.__struct_fields__ if name != "at"}
    return {**fields, "labels": dict(notice.labels), "groups": list(to_builtins(notice.groups))}
