"""What is asked of the counters and what they answer. Amounts are nanodollars, times UTC microseconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from data.budget_periods import Span


class Document(NamedTuple):
    """A budget as this machine knows it: its id, version and JSON text."""

    id: str
    version: int
    document: str


class Want(NamedTuple):
    """What a proxy asks of one counter: it gives `back` what it has free and wants at least `need`.

    `counts`: where buckets start that count. `limit`: what may be spent. A soft budget gives whatever is left.
    """

    budget: int
    value: str
    back: int
    need: int
    counts: Span
    limit: int
    hard: bool


class Standing(NamedTuple):
    """A counter: what is spent, what all proxies have taken and batches hold, and what batches hold of that."""

    spent: int
    leased: int
    batches: int


class Given(NamedTuple):
    """A counter after a lease: what the proxy has free in it, and as `Standing`."""

    free: int
    spent: int
    leased: int
    batches: int
    fits: bool


class Move(NamedTuple):
    """That a spool is folded up to record `after` where it was up to `before`."""

    spool: str
    before: int
    after: int


class Fold(NamedTuple):
    """What a proxy moves into `spent` of one counter, and by how much its slice changes."""

    budget: int
    value: str
    change: int
    charges: Sequence[tuple[int, int]]  # (bucket, nanodollars)
    counts: Span


class Charge(NamedTuple):
    """Money that somebody spent; the counter is found from the value."""

    budget: int
    value: str
    bucket: int
    nano: int


class BatchKey(NamedTuple):
    """A batch, as its provider names it."""

    provider: str
    batch: str


class Batch(NamedTuple):
    """A batch that something is held for; `account` says for whoever counts it on whose account it was made."""

    key: BatchKey
    made_us: int
    account: str


class Part(NamedTuple):
    """Money in one counter, which is found from the value."""

    budget: int
    value: str
    nano: int


class Crossing(NamedTuple):
    """A threshold that was reached: its name, when, what was used and the amount then."""

    budget: int
    value: str
    name: str
    at: int
    used: int
    amount: int


class Group(NamedTuple):
    """One counter as it stands."""

    value: str
    spent: int
    leased: int
    batches: int = 0  # what is held for batches, of what is leased


@dataclass(frozen=True, slots=True)
class Known:
    """What this machine knows of the budgets: their documents, since when by id, and numbers by (id, shape)."""

    generation: int
    documents: tuple[Document, ...]
    learned: Mapping[str, int]
    counted: Mapping[tuple[str, str], int]
