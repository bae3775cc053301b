"""One call's way through its plan: which place is asked first, and which one after a failure. No I/O, no clock.

After a failure, in this order, the first that applies:

1. nothing, where the caller's own credential is not accepted, or the request itself is at fault;
2. another credential of the same place at once, where the one that was used is at fault (rate limit, quota);
3. the same again after a pause, as long as `retries` lasts; a pause longer than the limit is not waited for;
4. the other choices of the route, where they may do better;
5. the fallbacks for this kind of failure (`Handling.list`), each of them once.

A place whose circuit is open is passed over, and so is any but the first choice that costs more than the route's cap
allows, and a fallback to a model that the caller's key is not for. What the first choices are asked for is the
operator's word: a key that may ask for the name may have what it stands for.

A place that cannot be sent the call, or whose own budget has no room for it, is left out, and what follows is what
would have, had it never been there: before any failure the other choices, then the fallbacks of a place that is broken.
"""

import math
import random as chance
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import chain

import msgspec

from data.model import Cause
from proxy.breaker import Breaker, Place, State
from proxy.cost_cap import Worst, over_cap
from proxy.failure import Failure, FailureClass
from proxy.retry import wait_before
from proxy.routing import Candidate, Plan

#: Whether a key is for a model.
Allows = Callable[[str], bool]


class Step(msgspec.Struct, frozen=True):
    """The next attempt: where, with which credential (an index; -1: the caller's), why, and after which pause.

    `probe`: it is the one call that tries a place in trouble; whoever makes it has to let the breaker know.
    """

    candidate: Candidate
    place: Place
    credential: int
    cause: Cause = Cause.FIRST
    wait_s: float = 0.0
    probe: bool = False


class Rotation:
    """Whose turn it is among a provider's credentials."""

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}

    def order(self, candidate: Candidate) -> list[int]:
        """Return the credentials' indices, the one whose turn it is first."""
        provider = candidate.provider
        count = len(provider.credentials)
        if count < 2:
            return [0] if count else [-1]
        if provider.rotation == "failover":
            return list(range(count))
        turn = self._turns.get(provider.name, 0)
        self._turns[provider.name] = (turn + 1) % count
        return [(turn + offset) % count for offset in range(count)]


class Journey:
    """Chooses the steps of one call. `model` is what the client asked for, `session` keeps it at one place.

    `caller` is the label of the caller's own credential: what is wrong with it says nothing of another caller's.
    `allows` tells which models fallbacks may go to; None: any.
    """

    def __init__(
        self,
        plan: Plan,
        breaker: Breaker,
        rotation: Rotation,
        *,
        model: str,
        session: str = "",
        caller: str = "",
        longest_wait_s: float = 10.0,
        allows: Allows | None = None,
    ) -> None:
        self._plan = plan
        self._breaker = breaker
        self._rotation = rotation
        self._model = model
        self._caller = caller
        self._longest_wait_s = longest_wait_s
        self._allows = allows
        self.worst: Worst | None = None  # what a cap is held against; None: there is none to hold to
        self._choices = _ordered(plan.choices, session) if len(plan.choices) > 1 else list(plan.choices)
        self._tried: list[Step] = []
        self._left_out: list[Candidate] = []  # places that are not asked at all
        self._failure: Failure | None = None  # the last one
        self._retries = 0
        self.why = ""  # why there is no further step

    def is_strange(self, step: Step) -> bool:
        """Whether the step goes to another provider than the call was meant for: the caller's key is not for it."""
        return step.candidate.provider.name != self._choices[0].provider.name

    @property
    def tried(self) -> int:
        """How many attempts were made."""
        return len(self._tried)

    @property
    def more(self) -> bool:
        """Whether a failure could be followed by another attempt."""
        return not self._plan.single

    def first(self, now_s: float) -> Step | None:
        """Return the first step; None where every place is left alone for now (`retry_in_s` says how long)."""
        plan = self._plan
        if plan.single:
            return None if self._left_out else self._single(plan.choices[0], now_s)
        for candidate in (*self._choices, *self._instead(now_s)):
            if (step := self._at(candidate, now_s, self._first_cause(candidate))) is not None:
                return self._taken(step, now_s)
        if self._breaker.config.without_alternative == "refuse":
            passed_over = f"; {self.why}" if self.why else ""
            self.why = f"every place that could serve this call is being left alone{passed_over}"
            return None
        willing = (each for each in self._choices if not self._is_left_out(each) and self._affordable(each))
        found = next(willing, None)
        return None if found is None else self._taken(self._anyhow(found), now_s)

    def after(
        self, failed: Step, failure: Failure, now_s: float, random: Callable[[], float] = chance.random
    ) -> Step | None:
        """Return the step after a failure, or None; then `why` says why not."""
        self._failure = failure
        if failure.kind is FailureClass.AUTH and failed.credential < 0:
            self.why = "the caller's own credential is not accepted"
            return None
        step = self._again(failed, failure, now_s, random) or self._elsewhere(failure, now_s)
        if step is None:
            self.why = self.why or f"nothing is left to try after {failure.kind}"
            return None
        return self._taken(step, now_s)

    def instead(self, unsent: Step, now_s: float) -> Step | None:
        """Return the step instead of the last one, whose place is never asked (see above); or None."""
        self._tried.pop()
        self._left_out.append(unsent.candidate)
        if self._failure is None:
            return self.first(now_s)
        step = self._elsewhere(self._failure, now_s)
        return None if step is None else self._taken(step, now_s)

    def retry_in_s(self, now_s: float) -> float:
        """Return after how many seconds the first of the places may be asked again."""
        untils = [
            self._breaker.rests_until(self._place(candidate, index))
            for candidate in self._choices
            if not self._over_cap(candidate)
            for index in (range(len(candidate.provider.credentials)) if candidate.provider.credentials else (-1,))
        ]
        return max(min(untils) - now_s, 0.0)

    def _place(self, candidate: Candidate, index: int) -> Place:
        credential = credential_label(candidate, index) if index >= 0 else self._caller
        return Place(candidate.provider.name, self._asks_for(candidate), credential)

    def _asks_for(self, candidate: Candidate) -> str:
        return candidate.model or self._model

    def _instead(self, now_s: float) -> list[Candidate]:
        """The fallbacks for a first choice that is left alone or out, by why it is."""
        if not self._plan.fallbacks:
            return []
        first = self._place(self._choices[0], 0 if self._choices[0].provider.credentials else -1)
        resting = self._breaker.state(first, now_s) is State.CLOSED and not self._is_left_out(self._choices[0])
        lists = ("rate_limited",) if resting else ("overloaded", "error", "timeout")
        return list(dict.fromkeys(candidate for name in lists for candidate in self._fallbacks(name)))

    def _single(self, candidate: Candidate, now_s: float) -> Step | None:
        step = self._anyhow(candidate)
        refuses = self._breaker.config.without_alternative == "refuse"
        if refuses and not self._breaker.allows(step.place, now_s):
            self.why = f"{candidate.provider.name} is being left alone"
            return None
        return self._taken(step, now_s)

    def _anyhow(self, candidate: Candidate) -> Step:
        index = self._rotation.order(candidate)[0]
        return Step(candidate, self._place(candidate, index), index, self._first_cause(candidate))

    def _first_cause(self, candidate: Candidate) -> Cause:
        return Cause.FIRST if candidate is self._choices[0] else Cause.FALLBACK

    def _taken(self, step: Step, now_s: float) -> Step:
        if self._breaker.began(step.place, now_s + step.wait_s):
            step = msgspec.structs.replace(step, probe=True)
        self._tried.append(step)
        return step

    def _again(self, failed: Step, failure: Failure, now_s: float, random: Callable[[], float]) -> Step | None:
        """The same place, with another credential at once or with the same one after a pause."""
        candidate = failed.candidate
        if failure.handling.of_credential:
            used = {step.credential for step in self._tried if step.candidate is candidate}
            fresh = [index for index in self._rotation.order(candidate) if index not in used]
            if (step := self._with(candidate, fresh, now_s, failed.cause.again)) is not None:
                return step
        if not failure.repeatable or self._retries >= self._plan.retries:
            return None
        wait_s = wait_before(failure, self._retries, random(), self._longest_wait_s)
        if wait_s is None:
            self.why = f"{candidate.provider.name} asks for a pause of {failure.retry_after_s:.0f} s"
            return None
        self._retries += 1
        return Step(candidate, failed.place, failed.credential, failed.cause.again, wait_s)

    def _elsewhere(self, failure: Failure, now_s: float) -> Step | None:
        handling = failure.handling
        others = self._choices if handling.peers else []
        for candidate in chain(others, self._fallbacks(handling.list)):
            if any(_same(step.candidate, candidate) for step in self._tried):
                continue
            if (step := self._at(candidate, now_s, Cause.FALLBACK)) is not None:
                return step
        return None

    def _fallbacks(self, name: str) -> Iterator[Candidate]:
        """Those of one list that the caller's key is for."""
        for candidate in self._plan.fallbacks.get(name, ()):
            if self._allows is None or self._is_allowed(candidate, self._allows):
                yield candidate

    def _is_allowed(self, candidate: Candidate, allows: Allows) -> bool:
        model = self._asks_for(candidate)
        if allows(model) or any(model == self._asks_for(choice) for choice in self._choices):
            return True
        self.why = f"{candidate.provider.name} is a fallback to the model {model!r}, which the virtual key is not for"
        return False

    def _at(self, candidate: Candidate, now_s: float, cause: Cause) -> Step | None:
        if self._is_left_out(candidate) or not self._affordable(candidate):
            return None
        return self._with(candidate, self._rotation.order(candidate), now_s, cause)

    def _is_left_out(self, candidate: Candidate) -> bool:
        return any(_same(candidate, each) for each in self._left_out)

    def _with(self, candidate: Candidate, indices: list[int], now_s: float, cause: Cause) -> Step | None:
        for index in indices:
            place = self._place(candidate, index)
            if self._breaker.allows(place, now_s):
                return Step(candidate, place, index, cause)
        return None

    def _affordable(self, candidate: Candidate) -> bool:
        why = self._over_cap(candidate)
        self.why = why or self.why
        return not why

    def _over_cap(self, candidate: Candidate) -> str:
        return over_cap(self._plan, self._choices[0], candidate, self.worst)


def credential_label(candidate: Candidate, index: int) -> str:
    """Return the name of a provider's credential, '' for the caller's own."""
    return f"{candidate.provider.name}#{index + 1}" if index >= 0 else ""


def _same(one: Candidate, other: Candidate) -> bool:
    return one.provider.name == other.provider.name and one.model == other.model


def _ordered(choices: tuple[Candidate, ...], session: str) -> list[Candidate]:
    """By weighted rendezvous hashing: a session stays at its place, whose prompt cache knows it."""

    def score(candidate: Candidate) -> float:
        if not session:
            share = chance.random()  # noqa: S311 - chance, not a secret
        else:
            name = f"{session}\0{candidate.provider.name}\0{candidate.model}".encode("utf-8", "replace")
            share = int.from_bytes(blake2b(name, digest_size=8).digest()) / (1 << 64)
        return -math.log(max(share, 1e-300)) / candidate.weight

    return sorted(choices, key=score)
