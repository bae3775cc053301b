"""How an import went, in numbers."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

#: Faults that are told one by one.
MOST_TOLD = 20
NOTHING = Decimal(0)


@dataclass(slots=True)
class ModelSums:
    """New rows of one model, and what they (and the corrections of older ones) add to its cost, US dollars."""

    rows: int = 0
    cost_usd: Decimal = NOTHING
    unpriced: int = 0


@dataclass(slots=True)
class Imported:
    """What was found and what became of it.

    `broken` and `unreadable` hold the first MOST_TOLD places: file and line, file and reason.
    """

    files: int = 0
    lines: int = 0
    broken_lines: int = 0
    broken: list[tuple[Path, int]] = field(default_factory=list)
    unreadable_files: int = 0
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    synthetic: int = 0  # words of Claude Code itself, errors among them
    mentions: int = 0  # lines that tell of a call
    calls: int = 0
    early: int = 0  # calls before the wanted time
    waiting: int = 0  # calls that may still be going on
    live: int = 0  # calls that went through the proxy
    known: int = 0  # rows of earlier imports
    corrected: int = 0  # of these: rows that are more complete now
    added: int = 0  # new rows
    endless: int = 0  # of the added and the corrected: rows whose answer has no end in the logs
    models: dict[str, ModelSums] = field(default_factory=lambda: defaultdict(ModelSums))

    @property
    def repeated(self) -> int:
        """Lines that tell of a call that another line tells of too."""
        return self.mentions - self.calls

    @property
    def cost_usd(self) -> Decimal:
        """What the import adds to the ledger's cost, as far as prices are known."""
        return sum((model.cost_usd for model in self.models.values()), NOTHING)

    def breaks(self, path: Path, line: int) -> None:
        """A line cannot be read."""
        self.broken_lines += 1
        if len(self.broken) < MOST_TOLD:
            self.broken.append((path, line))

    def fails(self, path: Path, error: OSError) -> None:
        """A file cannot be read, or not to its end."""
        self.unreadable_files += 1
        if len(self.unreadable) < MOST_TOLD:
            self.unreadable.append((path, error.strerror or type(error).__name__))
