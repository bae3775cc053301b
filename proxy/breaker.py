"""Leaves a place alone that keeps failing, and tries it again with one call. Pure: the clock is an argument.

A place is a provider's model with one of its credentials. CLOSED: calls go there. After `failures` in a row, without a
success between them, within `window_s` it is OPEN for `open_s`: none does. Then it is HALF_OPEN: one call at a time
goes there; if it succeeds the place is closed again, if it fails it is open once more. A provider that asks to be left
alone (`retry-after`) is, as long as it wants, without being taken for broken.
"""

from collections import OrderedDict, deque
from enum import StrEnum
from typing import Final, NamedTuple

from data.route_config import BreakerConfig

#: Clients name models: places that were well for longest are forgotten first.
MAX_PLACES: Final = 4096


class Place(NamedTuple):
    """Where a call may go: `credential` is its label, '' for the caller's own."""

    provider: str
    model: str
    credential: str


class State(StrEnum):
    """Whether calls go to a place."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class _Circuit:
    __slots__ = ("failed_at", "open_until", "probing_until", "resting_until", "tripped")

    def __init__(self) -> None:
        self.failed_at: deque[float] = deque()
        self.open_until = 0.0
        self.probing_until = 0.0  # a probe is under way; one that never reports does not block for ever
        self.resting_until = 0.0  # the provider asked for it
        self.tripped = False


class Breaker:
    """The circuits of all places. `now_s` is a clock that never jumps (`loop.time()`)."""

    def __init__(self, config: BreakerConfig) -> None:
        self.config = config
        self._circuits: OrderedDict[Place, _Circuit] = OrderedDict()

    def state(self, place: Place, now_s: float) -> State:
        """Return the state of a place."""
        circuit = self._circuits.get(place)
        if circuit is None or not circuit.tripped:
            return State.CLOSED
        return State.OPEN if now_s < circuit.open_until else State.HALF_OPEN

    def rests_until(self, place: Place) -> float:
        """Return when a place may be asked again; a time that has passed: at once."""
        circuit = self._circuits.get(place)
        if circuit is None:
            return 0.0
        until = circuit.resting_until
        if circuit.tripped:
            until = max(until, circuit.open_until, circuit.probing_until)
        return until

    def allows(self, place: Place, now_s: float) -> bool:
        """Whether a call may go there now."""
        return place not in self._circuits or self.rests_until(place) <= now_s

    def began(self, place: Place, now_s: float) -> bool:
        """A call goes there. Whether it is a probe, which others wait for until it is reported or `released`."""
        circuit = self._circuits.get(place)
        if circuit is None or not circuit.tripped:
            return False
        circuit.probing_until = now_s + self.config.open_s
        return True

    def released(self, place: Place) -> None:
        """Nobody waits for the probe any more; one that reached no provider has told nothing, so the next may go."""
        circuit = self._circuits.get(place)
        if circuit is not None:
            circuit.probing_until = 0.0

    def succeeded(self, place: Place, now_s: float) -> None:
        """A call there went well (or failed for reasons of its own). It ends no pause that another was told of."""
        circuit = self._circuits.pop(place, None)
        if circuit is not None and circuit.resting_until > now_s:
            self._circuit(place).resting_until = circuit.resting_until

    def failed(self, place: Place, now_s: float) -> None:
        """A call there failed as the place's fault."""
        circuit = self._circuit(place)
        circuit.failed_at.append(now_s)
        while circuit.failed_at and circuit.failed_at[0] <= now_s - self.config.window_s:
            circuit.failed_at.popleft()
        if circuit.tripped or len(circuit.failed_at) >= self.config.failures:
            circuit.tripped = True
            circuit.open_until = now_s + self.config.open_s
            circuit.probing_until = 0.0
            circuit.failed_at.clear()

    def rest(self, place: Place, until_s: float) -> None:
        """The provider wants no calls there before `until_s`."""
        circuit = self._circuit(place)
        circuit.resting_until = max(circuit.resting_until, until_s)

    def snapshot(self, now_s: float) -> dict[Place, dict[str, object]]:
        """Return the places that are not simply well: state, recent failures, and seconds until they are asked."""
        return {
            place: {
                "state": self.state(place, now_s),
                "failures": len(circuit.failed_at),
                "asked_again_in_s": round(max(self.rests_until(place) - now_s, 0.0), 3),
            }
            for place, circuit in self._circuits.items()
        }

    def _circuit(self, place: Place) -> _Circuit:
        circuit = self._circuits.get(place)
        if circuit is None:
            if len(self._circuits) >= MAX_PLACES:
                self._circuits.popitem(last=False)
            circuit = self._circuits[place] = _Circuit()
        return circuit
