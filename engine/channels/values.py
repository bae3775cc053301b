"""What a channel's template can name of a notice. Pure."""

from typing import Any

from msgspec import to_builtins

from engine import templates
from engine.errors import TemplateFault
from engine.notice import Notice, when

#: What a template can name of a notice.
NAMES = frozenset({*Notice.__struct_fields__, "headline", "type"})


def check_words(text: str) -> str:
    """A template over a notice, as it came; a ValueError says what is wrong with it."""
    try:
        templates.check(text, NAMES)
    except TemplateFault as error:
        raise ValueError(str(error)) from error
    return text


def values_of(notice: Notice) -> dict[str, Any]:
    """The values of `NAMES`."""
    return {**fields_of(notice), "at": when(notice.at), "headline": notice.headline, "type": notice.type}


def fields_of(notice: Notice) -> dict[str, Any]:
    """The notice's own fields but for its time."""
    fields: dict[str, Any] = {name: getattr(notice, name) for name in notice.__struct_fields__ if name != "at"}
    return {**fields, "labels": dict(notice.labels), "groups": to_builtins(notice.groups)}
