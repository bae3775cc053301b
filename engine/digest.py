"""What was held back is told in the end: one digest a channel, as soon as the channel takes notices again. Pure.

A channel whose receiver keeps one thing an incident gets no digest: each incident's latest news goes to it by itself.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from msgspec import structs

from data.queries.notifications import NotificationRow
from engine import notice, outbox
from engine.audit import new_id
from engine.bundle import LISTED, member
from engine.notice import Notice, NoticeStatus, alone, when
from engine.notify import Reason
from engine.rule import Severity
from engine.terms import Purse, Terms

#: The reason of a digest's notification.
DIGEST = "digest"
#: How often it is seen whether something that was held back can be told.
SWEEP_EVERY = timedelta(seconds=5)
_ENDS = frozenset({Reason.RESOLVED, Reason.SOME_RESOLVED})
_CAUSES: Mapping[str, str] = {
    Reason.RATE_LIMITED: "by the rate limit",
    Reason.COOLDOWN: "in the quiet time after a notice",
    Reason.STILL_FLAPPING: "while flapping",
}


@dataclass(frozen=True, slots=True)
class Held:
    """A silent notification that is due to be told, and how its incident stands now.

    `reason` is why it was silent, `held` what it would have told; `told`: the channel has heard of the incident.
    """

    id: str
    alert_id: str
    group_key: str
    channel: str
    reason: str
    held: str
    created_at: datetime
    fallback: str
    notice: str
    rule_id: str
    rule_name: str
    severity: str
    opened_at: datetime
    resolved_at: datetime | None
    open: bool
    told: bool

    @property
    def limited(self) -> bool:
        """Whether nothing but a rate limit held it back."""
        return self.reason == Reason.RATE_LIMITED

    @property
    def counts_as(self) -> str:
        """The reason it counts with once it is told: the end, where the incident is over by then."""
        return self.held if self.open or self.ends else Reason.RESOLVED.value

    @property
    def ends(self) -> bool:
        """Whether it is an end that was held back."""
        return self.held in _ENDS


@dataclass(frozen=True, slots=True)
class Telling:
    """What comes of one look at what is held.

    `rows` are new notifications, `told` the held ones they tell of (id, bundle, held, at), `stale` the ids of those
    that say nothing any more, `spent` what is taken from the buckets.
    """

    rows: tuple[NotificationRow, ...]
    told: tuple[dict[str, Any], ...]
    stale: tuple[str, ...]
    spent: tuple[dict[str, Any], ...]


def telling(held: Sequence[Held], terms: Terms, at: datetime, public_url: str = "") -> Telling:
    """What is told now; the rest stays held until a channel takes more.

    What was quiet for another reason than a limit waits while its incident is open: the next evaluation tells of it.
    """
    stale = [one for one in held if not one.limited and not one.open and _heard(one)]
    left = [one for one in held if one.limited or not (one.open or _heard(one))]
    purse, spent = Purse(terms, at), Counter[str]()
    rows: list[NotificationRow] = []
    marks: list[dict[str, Any]] = []
    for channel, parts in sorted(_by(left, "channel").items()):
        for some in [parts] if channel in terms.bundling else _by(parts, "alert_id").values():
            if not purse.take(channel):
                break
            spent[channel] += 1
            row = _row(channel, some, bundles=channel in terms.bundling, at=at, public_url=public_url)
            rows.append(row)
            marks += [{"id": one.id, "bundle": row.id, "held": one.counts_as, "at": at} for one in some]
    return Telling(tuple(rows), tuple(marks), tuple(one.id for one in stale), purse.spent(spent))


def _heard(one: Held) -> bool:
    return one.told and not one.ends


def _by(held: Iterable[Held], name: str) -> dict[str, list[Held]]:
    found: dict[str, list[Held]] = defaultdict(list)
    for one in held:
        found[getattr(one, name)].append(one)
    return found


def _row(channel: str, held: Sequence[Held], *, bundles: bool, at: datetime, public_url: str) -> NotificationRow:
    said = composed(held, at, public_url) if bundles else _latest(held[-1], at)
    key = "" if bundles else held[-1].group_key
    names = dict.fromkeys(name for one in held for name in orjson.loads(one.fallback) if name != channel)
    return outbox.queued(new_id(), said, channel=channel, at=at, group_key=key, fallback=list(names))


def _latest(one: Held, at: datetime) -> Notice:
    """What there is to say of one incident now."""
    said = structs.replace(alone(notice.decode(one.notice)), reason=one.counts_as, at=at, opened_at=one.opened_at)
    return said if one.open else over(said, one.resolved_at)


def over(said: Notice, resolved_at: datetime | None) -> Notice:
    """The same incident's notice, now that it is over; as it is where it says so already."""
    if said.status is NoticeStatus.RESOLVED:
        return said
    began = f"Fired from {when(said.opened_at)}" if said.opened_at else "Fired"
    text = f"{began}, and is over."
    return structs.replace(said, status=NoticeStatus.RESOLVED, summary=text, resolved_at=resolved_at)


def composed(held: Sequence[Held], at: datetime, public_url: str = "") -> Notice:
    """The digest of what was held back from one channel: counts, then the incidents, the worst first."""
    incidents = sorted(
        {one.alert_id: one for one in held}.values(),
        key=lambda one: (_rank(one.severity), not one.open, one.opened_at),
    )
    shown = [(one, notice.decode(one.notice)) for one in incidents[:LISTED]]
    base = public_url.rstrip("/")
    return Notice(
        title=_counted(len(held), "notice held back", "notices held back"),
        status=NoticeStatus.MESSAGE,
        severity=incidents[0].severity,
        at=at,
        reason=DIGEST,
        summary=_summary(held, incidents),
        message="\n".join([_rules(incidents), *(_line(*pair) for pair in shown), *_rest(len(incidents))]),
        alert_url=f"{base}/alerts" if base else "",
        groups=tuple(structs.replace(member(said), summary=_state(one)) for one, said in shown),
        group_count=len(incidents),
    )


def _rank(severity: str) -> int:
    return list(Severity).index(Severity(severity))


def _summary(held: Sequence[Held], incidents: Sequence[Held]) -> str:
    causes = Counter(_CAUSES.get(one.reason, "") for one in held)
    why = ", ".join(f"{count} {cause}" for cause, count in causes.most_common())
    open_still = [one.severity for one in incidents if one.open]
    firing = f"{len(open_still)} still fire ({_tally(open_still)})" if open_still else "none fires any more"
    return f"Held back: {why}. Of {_counted(len(incidents), 'incident', 'incidents')}, {firing}."


def _rules(incidents: Sequence[Held]) -> str:
    return "By rule: " + _tally(one.rule_name for one in incidents) + "."


def _tally(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


def _line(one: Held, said: Notice) -> str:
    named = member(said).name
    group = "" if named == "all" else f" ({named})"
    return f"[{one.severity.upper()}] {one.rule_name}{group}: {_state(one)}"


def _state(one: Held) -> str:
    began = when(one.opened_at)
    return f"fires since {began}" if one.open or not one.resolved_at else f"fired {began} to {when(one.resolved_at)}"


def _rest(count: int) -> Iterator[str]:
    if count > LISTED:
        yield f"and {count - LISTED} more"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
