"""Which colour a value has: the same on every page, in light and dark.

A model takes its colour from its maker's family (Anthropic warm, OpenAI cool, Google violet), so that a chart of
models can be read by maker too. Every colour stands out at least 3:1 from both themes' backgrounds.
"""

import re
from collections.abc import Sequence
from zlib import crc32

from app.views.shaping import NONE

OTHER = "#8B8F98"
#: What has no value of the dimension.
NOBODY = "#737373"
#: Dimensions whose values are known by their colour; elsewhere colour only tells series of one chart apart.
COLORED = frozenset({"provider", "model", "outcome"})
ACCENT = "#5B6CDE"

PALETTE = (
    "#5B6CDE",
    "#C96F4A",
    "#23968A",
    "#B07D14",
    "#BF5379",
    "#3C8AC4",
    "#8A63C6",
    "#55933F",
    "#6F7C8C",
    "#99714E",
)

WARM = ("#CB6B43", "#BB8A1C", "#B84A72", "#99714E", "#D0605E", "#A8642A")
COOL = ("#23968A", "#3C8AC4", "#55933F", "#6F83A8", "#2C8FA8", "#3F9A6B")
VIOLET = ("#8A63C6", "#A85AB8", "#6C6BD0", "#B65BA0")

PROVIDERS = {"anthropic": "#CB6B43", "openai": "#23968A", "google": "#8A63C6", "gemini": "#8A63C6"}

#: Beginnings of model names, the longest match wins; a line's versions take turns with its three shades.
LINES = {
    "claude-opus": ("#B84A72", "#C65CC0", "#8C5C74"),
    "claude-sonnet": ("#CB6B43", "#C24A22", "#A07550"),
    "claude-haiku": ("#BB8A1C", "#97861F", "#AD7B3A"),
    "gpt-5": ("#23968A", "#1B7F55", "#4AA0B5"),
    "gpt-5-mini": ("#3C8AC4", "#4A7FD0", "#5B8FB8"),
    "gpt-5-nano": ("#55933F", "#6C9434", "#4A9A5C"),
    "gpt-4o": ("#6F83A8", "#7C86B8", "#64899A"),
    "gpt-4o-mini": ("#2C8FA8", "#3F86A0", "#2E9A9A"),
    "gpt-4.1": ("#3F9A6B", "#528F6A", "#3E9680"),
    "gemini": VIOLET,
}

FAMILIES = {"claude": WARM, "gpt": COOL, "o1": COOL, "o3": COOL, "o4": COOL}

OUTCOMES = {
    "ok": "#55933F",
    "error": "#D0605E",
    "partial": "#B07D14",
    "disconnected": "#6F7C8C",
    "timeout": "#BF5379",
    "interrupted": "#8A63C6",
}


def color(dimension: str, value: str) -> str:
    """The colour of `value` of `dimension`, as `#RRGGBB`."""
    if value == "Other":
        return OTHER
    if value in ("", NONE):
        return NOBODY
    if dimension == "provider":
        return PROVIDERS.get(value, _slot(value, PALETTE))
    if dimension == "model":
        return _model(value)
    if dimension == "outcome":
        return OUTCOMES.get(value, OTHER)
    return _slot(value, PALETTE)


def colors(dimension: str, values: Sequence[str]) -> list[str]:
    """A colour a value for one chart: each its own, and the next free one where two would be alike."""
    taken: dict[str, str] = {}
    for value in sorted(set(values)):
        wanted = color(dimension, value)
        free = next((c for c in PALETTE + WARM + COOL + VIOLET if c not in taken.values()), wanted)
        taken[value] = free if wanted in taken.values() and wanted not in (OTHER, NOBODY) else wanted
    return [taken[value] for value in values]


def faded(hex_color: str, opacity: float) -> str:
    """The colour as `rgba(…)` with `opacity` from 0 to 1."""
    red, green, blue = (int(hex_color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def _model(name: str) -> str:
    known = [prefix for prefix in LINES if name.startswith(prefix)]
    if known:
        line = max(known, key=len)
        return LINES[line][_version(name.removeprefix(line)) % len(LINES[line])]
    family = next((shades for prefix, shades in FAMILIES.items() if name.startswith(prefix)), PALETTE)
    return _slot(name, family)


def _version(rest: str) -> int:
    """A small number from a model's version, dates left out: `-4-5-20250929` → 9."""
    return sum(int(part) for part in re.findall(r"\d+", rest) if len(part) <= 2)


def _slot(value: str, shades: Sequence[str]) -> str:
    return shades[crc32(value.encode()) % len(shades)]
