"""Which groups of a rule each channel was told of and that fire still: what another begins, or ends, beside. Pure.

Each level of a rule has a company of its own: a critical that begins is no news of the warnings that it adds to.
"""

import json
from collections import defaultdict
from typing import Self

from engine.levels import LEVEL
from engine.rule import Rule


class Company:
    """The groups of one rule, by channel; nobody ever joins that of a rule without groups."""

    def __init__(self, *, grouped: bool = False, levelled: bool = False) -> None:
        self._grouped, self._levelled = grouped, levelled
        self._groups: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._levels: dict[str, str] = {}

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """The rule's, before any channel was told anything."""
        return cls(grouped=bool(rule.group_by), levelled=bool(rule.levels))

    def join(self, channel: str, key: str) -> None:
        """The channel was told that the group fires."""
        if self._grouped:
            self._groups[channel, self._level(key)].add(key)

    def leave(self, key: str) -> None:
        """The group fires no more."""
        for groups in self._groups.values():
            groups.discard(key)

    def beside(self, channel: str, key: str) -> int:
        """How many others of the group's level the channel was told of that fire still."""
        groups = self._groups.get((channel, self._level(key))) if self._groups else None
        return len(groups) - (key in groups) if groups else 0

    def others(self, channel: str, key: str) -> list[str]:
        """Their keys, in order."""
        return sorted(self._groups.get((channel, self._level(key)), set()) - {key})

    def _level(self, key: str) -> str:
        if not self._levelled:
            return ""
        if key not in self._levels:
            self._levels[key] = json.loads(key).get(LEVEL, "")
        return self._levels[key]
