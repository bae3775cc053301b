"""The `x-simulate` header: how one request tells the simulated provider what to answer, exactly.

`input=374,output=44,ttft_ms=100` · `error=429,retry_after=3` · `hang_up_after=3` · `garbage`.
Names without a value mean 1.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

HEADER = "x-simulate"

#: Token counts are disjoint, as the ledger's: `input` is what is neither read from nor written to a cache.
COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
#: Milliseconds; they hold as given, whatever the provider's `speed` is.
TIMES = ("ttft_ms", "duration_ms")
#: `tool`: 1 calls a tool, 0 calls none; `chunks`: parts that the text is streamed in; `retry_after`: seconds.
#: `overloaded_for`: seconds from now on in which every request is refused. Of a batch: `polls` are how often it is
#: looked at before it has ended, `errored` and `expired` how many of its last requests come to nothing.
OPTIONS = ("tool", "chunks", "retry_after", "overloaded_for", "polls", "errored", "expired")
#: `model` and `tier` are what the answer names; `only`: the label of the credential that faults are for.
WORDS = ("model", "tier", "only")


class BadSteering(ValueError):
    """The header asks for something that does not exist; the message says what."""


@dataclass(frozen=True, slots=True)
class Steering:
    """What a request asked to be simulated. `numbers` are the counts, times and options; `faults` the behaviours."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def count(self, name: str) -> int | None:
        """The token count or option `name`; None where it was left to the simulation."""
        value = self.numbers.get(name)
        return None if value is None else int(value)

    @property
    def counted(self) -> bool:
        """Whether the input counts were given, so that the ones left out mean 0."""
        return any(name in self.numbers for name in COUNTS[:4])


UNSTEERED = Steering()


def parse(header: str, faults: Collection[str]) -> Steering:
    """Read the header; `faults` are the names of the behaviours that exist. Raises BadSteering."""
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    chosen: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in header.split(","))):
        name, _, value = part.partition("=")
        if name in faults:
            chosen[name] = value or "1"
        elif name in WORDS:
            words[name] = value
        elif name in COUNTS or name in TIMES or name in OPTIONS:
            numbers[name] = _number(name, value or "1")
        else:
            known = ", ".join((*COUNTS, *TIMES, *OPTIONS, *WORDS, *sorted(faults)))
            raise BadSteering(f"{HEADER}: {name!r} is not known; choose from {known}")
    return Steering(numbers, words, chosen)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError as error:
        raise BadSteering(f"{HEADER}: {name}={value!r} is not a number") from error
    if number < 0 or number != number or number == float("inf"):  # noqa: PLR0124 - not a number differs from itself
        raise BadSteering(f"{HEADER}: {name}={value!r} must be 0 or more")
    return number
