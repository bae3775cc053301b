"""What templates can do to a value: every filter gives about as much as it was given. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from engine.errors import TemplateFault
from engine.quantity import Quantity, number_of

#: No text in a template, and no result of one, is longer.
MOST_CHARS = 20_000
_DIGITS = 10


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise TemplateFault(f"a {type(value).__name__} is not text")
    return _short(str(value))


def _short(text: str) -> str:
    if len(text) > MOST_CHARS:
        raise TemplateFault(f"the template makes more than {MOST_CHARS:,} characters")
    return text


def _number(value: Any) -> float:
    try:
        return float(number_of(value))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise TemplateFault(f"{str(value)[:50]!r} is not a number") from error


def _decimals(digits: Any) -> int:
    return max(0, min(int(digits), _DIGITS))


def _absent(value: Any) -> bool:
    """Whether it is a quantity that was not measured, which filters leave as the words it is written in."""
    return isinstance(value, Quantity) and value.number is None


def rounded(value: Any, digits: int = 0) -> float | str:
    """A number with at most ten decimals: `{{ value | round(2) }}`."""
    return str(value) if _absent(value) else round(_number(value), _decimals(digits))


def grouped(value: Any, digits: int = 2) -> str:
    """With thousands set apart, and just so many decimals: `{{ value | number(2) }}`."""
    return str(value) if _absent(value) else f"{_number(value):,.{_decimals(digits)}f}"


def filled(value: Any, instead: Any = "") -> Any:
    """What stands for something empty: `{{ labels.team | default("nobody") }}`."""
    return instead if value is None or value == "" else value


def truncate(value: Any, length: int = 255, end: str = "…") -> str:
    """The first `length` characters, the end's included."""
    text = _text(value)
    return text if len(text) <= length else _short(text[: max(0, int(length) - len(end))] + end)


def replace(value: Any, old: str, new: str) -> str:
    """Every `old` made a `new`."""
    text, old, new = _text(value), _text(old), _text(new)
    if text.count(old) * len(new) > MOST_CHARS:
        raise TemplateFault(f"the template makes more than {MOST_CHARS:,} characters")
    return _short(text.replace(old, new))


def join(items: Any, between: str = "") -> str:
    """The items, or a mapping's names, in one text."""
    made, size = [], 0
    for item in _listed(items):
        made.append(_text(item))
        size += len(made[-1]) + len(between)
        if size > MOST_CHARS:
            raise TemplateFault(f"the template makes more than {MOST_CHARS:,} characters")
    return _text(between).join(made)


def items(value: Any) -> list[tuple[str, Any]]:
    """Labels in the order of their names: `{% for name, label in labels | items %}`."""
    if not isinstance(value, Mapping):
        raise TemplateFault("only labels have items")
    return sorted(value.items())


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, Iterable):
        raise TemplateFault(f"a {type(value).__name__} has no items")
    return list(value)


def _whole(value: Any) -> int:
    return int(_number(value))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "abs": lambda value: str(value) if _absent(value) else abs(_number(value)),
    "capitalize": lambda value: _text(value).capitalize(),
    "d": filled,
    "default": filled,
    "dictsort": items,
    "first": lambda value: next(iter(_listed(value)), ""),
    "float": _number,
    "int": _whole,
    "items": items,
    "join": join,
    "last": lambda value: (_listed(value) or [""])[-1],
    "length": lambda value: len(_listed(value)),
    "lower": lambda value: _text(value).lower(),
    "number": grouped,
    "replace": replace,
    "round": rounded,
    "sort": lambda value: sorted(_listed(value)),
    "string": _text,
    "title": lambda value: _text(value).title(),
    "trim": lambda value: _text(value).strip(),
    "truncate": truncate,
    "upper": lambda value: _text(value).upper(),
    "urlencode": lambda value: _short(quote(_text(value), safe="")),
}
