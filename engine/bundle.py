"""Many groups of one rule that begin, or end, at once: one notice to a channel that lists them. Pure.

Each group keeps a row of its own, marked as told by the bundle, so that cooldown, repeats and ends know of it.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from data.queries.notifications import BUNDLED, PENDING, NotificationRow
from engine import outbox
from engine.audit import new_id
from engine.condition import Op
from engine.levels import LEVEL
from engine.notice import Member, Notice, NoticeStatus, alone, beside
from engine.notify import Reason
from engine.rule import Rule

#: So many groups are named, in the headline sentence and below it; the others are counted.
NAMED, LISTED = 3, 20
_VERBS: Mapping[str, str] = {
    Reason.FIRST: "began to fire",
    Reason.NEW_GROUPS: "began to fire",
    Reason.FLAPPING: "come and go",
}

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the outbox with the notice that is packed in it."""

    row: NotificationRow
    notice: Notice


def bundled(rule: Rule, lines: Sequence[Line], bundling: Container[str]) -> list[NotificationRow]:
    """The rows to write: where a channel in `bundling` has several notices of one reason, one that carries them.

    Each level has notices of its own: what is told of a critical must not stand under a warning.
    """
    if not rule.grouping:
        return [line.row for line in lines]
    sets: dict[_Key, list[Line]] = defaultdict(list)
    for line in lines:
        if line.row.status == PENDING and line.row.channel in bundling:
            sets[_key(line)].append(line)
    carriers = {key: _carrier(rule, parts) for key, parts in sets.items() if len(parts) > 1}
    return [_part(line, carriers) for line in lines] + list(carriers.values())


def _key(line: Line) -> _Key:
    return line.row.channel, line.row.reason, line.notice.labels.get(LEVEL, "")


def _part(line: Line, carriers: dict[_Key, NotificationRow]) -> NotificationRow:
    row, carrier = line.row, carriers.get(_key(line))
    if carrier is None or row.status != PENDING:
        return row
    return replace(row, status=BUNDLED, bundle=carrier.id, finished_at=row.created_at)


def _carrier(rule: Rule, parts: Sequence[Line]) -> NotificationRow:
    first = parts[0].row
    said = carried(rule, [line.notice for line in parts])
    made = outbox.queued(new_id(), said, channel=first.channel, at=first.created_at)
    return replace(made, fallback=first.fallback)


def carried(rule: Rule, notices: Sequence[Notice]) -> Notice:
    """One notice for several groups of the rule, the worst first; they began, or ended, beside the same others."""
    upward = rule.conditions[0].op not in {Op.BELOW, Op.AT_MOST}
    ranked = sorted(map(alone, notices), key=lambda n: (n.value is None, -(n.value or 0) if upward else n.value or 0))
    members = tuple(member(notice) for notice in ranked[:LISTED])
    first, rest = ranked[0], len(ranked) - len(members)
    own = {notice.message for notice in notices}
    said = structs.replace(
        first,
        title=f"{rule.name}: {len(ranked)} groups",
        summary=f"{len(ranked)} groups {_verb(first)}: {named([m.name for m in members], len(ranked))}.",
        message="\n".join(
            [*(own if len(own) == 1 else ()), *(f"{m.name}: {m.summary}" for m in members), *_more(rest)]
        ).strip(),
        alert_id="",
        labels=dict(rule.labels),
        metric="",
        unit="",
        value=None,
        threshold=None,
        opened_at=min((n.opened_at for n in notices if n.opened_at), default=None),
        alert_url=first.alert_url.partition("?")[0],
        groups=members,
        group_count=len(ranked),
    )
    return beside(said, notices[0].beside)


def member(notice: Notice) -> Member:
    """What a bundle says of one of its groups."""
    return Member(
        alert_id=notice.alert_id,
        labels=notice.labels,
        summary=notice.summary,
        value=notice.value,
        threshold=notice.threshold,
        opened_at=notice.opened_at,
        alert_url=notice.alert_url,
    )


def _verb(notice: Notice) -> str:
    if notice.status is NoticeStatus.RESOLVED:
        return "are over"
    return _VERBS.get(notice.reason, "still fire")


def named(names: Sequence[str], count: int) -> str:
    """The first few of `count` names, set apart by semicolons where commas are in them, and how many more there are."""
    shown = ("; " if any(", " in name for name in names[:NAMED]) else ", ").join(names[:NAMED])
    return shown if count <= NAMED else f"{shown} and {count - NAMED} more"


def _more(rest: int) -> Iterable[str]:
    return (f"and {rest} more",) if rest else ()
