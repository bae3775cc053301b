"""The keys' limits over all proxies of a home: one that serves it alone counts in memory, several in one file.

    WAITING ──nobody else is there──► ALONE ──another one comes──► SHARED ──the others have gone──► ALONE
        └──────────────────────others are, and share what they know────────────┘

Never more is admitted than the limits allow, because

- a proxy counts in memory only after a transaction that has seen no other one in the file. Another one that comes
  admits nothing before the first has written all it knows into the file, and that it shares, in one transaction;
- where several serve, each call is looked at and counted in one transaction, before it is let through;
- who is gone is taken out of the file by somebody who holds its lock. With that its calls in flight are over; what it
  used counts until its minute has passed.

A killed proxy that served alone takes what it knew with it; one that leaves writes it down for the next. While the file
cannot be used and others may be there, calls of limited keys are refused, not let through.

To admit and end a call takes 2 µs in memory, and two transactions in the file: 65 µs together, 300 µs where something
was used in every quarter of a second of the last minute.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from data import limit_file
from data.errors import LimitsUnknown
from data.limit_file import Execute, Minute, Mode
from proxy.admission.limit_home import LimitHome
from proxy.admission.limits import MINUTE_S, Exceeded, Limits, Ticket, Used

#: How soon one that counts alone sees another one.
LOOK_S: Final = 0.1
#: How long a starting proxy waits for the one that counts alone before it listens.
PATIENCE_S: Final = 3.0
_SOON_S: Final = 0.01
_SWEEP_S: Final = 1.0
#: A call that finds all calls in parallel taken looks whether their proxies live, but not more often than this.
_HASTE_S: Final = 0.1
_UNTOLD: Final = "another proxy of this home has not told yet what keys have used"
_log = logging.getLogger(__name__)


class Owed(NamedTuple):
    """An ended call that is still counted as estimated."""

    limits: Limits
    estimated: int
    charged: Used
    used: int


class SharedLimits:
    """The limits of one proxy's keys. Use it from the event loop."""

    def __init__(self, folder: Path, name: str, clock: Callable[[], float] = monotonic) -> None:
        """`name` is this proxy's in `folder`, and no other's that lives."""
        self.mode = Mode.WAITING
        self._trouble = ""
        self._home = LimitHome(folder, name)
        self._clock = clock
        self._limits: WeakValueDictionary[str, Limits] = WeakValueDictionary()
        self._owed: list[Owed] = []
        self._swept_s = 0.0

    @property
    def trouble(self) -> str:
        """Why calls with limited keys are refused; '' while they are not."""
        return self._trouble or (_UNTOLD if self.mode is Mode.WAITING else "")

    def begin(self, limits: Limits) -> None:
        """Hold a key to its limits together with the others from now on."""
        self._limits[limits.key] = limits
        limits.others = None if self.mode is Mode.ALONE else self
        if self.mode is Mode.ALONE:
            with suppress(LimitsUnknown), self._home.transaction() as execute:
                self._load(execute, limits, self._clock())

    async def join(self) -> None:
        """Become one of the home's proxies; where another one does not let it in for long, it goes on waiting."""
        until = self._clock() + PATIENCE_S
        self.tick()
        while self.mode is Mode.WAITING and self._clock() < until:
            await asyncio.sleep(_SOON_S)
            self.tick()

    async def run(self) -> None:
        """Keep looking who else is there, until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(LOOK_S)

    def tick(self) -> None:
        """Look who else is there, and count as that wants it. Raises nothing."""
        try:
            self._step(self._clock())
        except LimitsUnknown as error:
            self._told(error)
            self._swept_s = -math.inf  # the next look is at the file too
        else:
            self._trouble = ""

    def take(self, limits: Limits, tokens: int, now_s: float) -> Ticket | Exceeded:
        """Admit a call or say why not, by what all proxies have counted. Raises LimitsUnknown."""
        if self.mode is Mode.WAITING:
            raise LimitsUnknown(_UNTOLD)
        try:
            taken = self._taken(limits, tokens, now_s)
            if self._may_be_free(taken, limits, now_s):
                self._sweep(now_s)
                taken = self._taken(limits, tokens, now_s)
        except LimitsUnknown as error:
            self._told(error)
            raise
        return taken

    def settle(self, limits: Limits, estimated: int, charged: Used, used: int, now_s: float) -> None:
        """Put right what an ended call was charged; what cannot be now is tried again. Raises nothing."""
        self._owed.append(Owed(limits, estimated, charged, used))
        try:
            self._pay(now_s)
        except LimitsUnknown as error:
            self._told(error)

    def close(self) -> None:
        """Leave: what was used here counts on for the others, and for whoever comes next."""
        try:
            self._pay(self._clock())
            with self._home.transaction() as execute:
                if self.mode is Mode.ALONE:
                    self._keep_all(execute, self._clock())
                limit_file.leave(execute, self._home.name)
        except LimitsUnknown as error:
            self._told(error)
        self._home.close()

    def _step(self, now_s: float) -> None:
        self._home.open()
        if self.mode is Mode.ALONE:
            if self._home.others():
                self._hand_over(now_s)
            return
        self._pay(now_s)
        if self.mode is Mode.WAITING or now_s - self._swept_s >= _SWEEP_S:
            self._sweep(now_s)
            self._enter(now_s)

    def _enter(self, now_s: float) -> None:
        """Say how this proxy counts from now on, by who else is there."""
        with self._home.transaction() as execute:
            others = limit_file.others(execute, self._home.name)
            mode = Mode.SHARED if others else Mode.ALONE
            if Mode.ALONE in others.values():
                mode = Mode.WAITING
            if self.mode is Mode.WAITING:
                limit_file.leave(execute, self._home.name)  # whoever had this name before
            limit_file.enter(execute, self._home.name, mode)
            limit_file.forget(execute, now_s - 2 * MINUTE_S, now_s + MINUTE_S)
            if mode is Mode.ALONE:
                limit_file.end_running(execute, self._home.name)  # it is counted in memory from now on
                for limits in self._limits.values():
                    self._load(execute, limits, now_s)
        self._count(mode)

    def _hand_over(self, now_s: float) -> None:
        """Write down all that was counted in memory: others count too from now on."""
        with self._home.transaction() as execute:
            self._keep_all(execute, now_s)
            limit_file.enter(execute, self._home.name, Mode.SHARED)
        self._count(Mode.SHARED)

    def _count(self, mode: Mode) -> None:
        self.mode = mode
        for limits in self._limits.values():
            limits.others = None if mode is Mode.ALONE else self

    def _may_be_free(self, taken: Ticket | Exceeded, limits: Limits, now_s: float) -> bool:
        """Whether all calls in parallel are taken, some by other proxies that may have died."""
        parallel = isinstance(taken, Exceeded) and taken.retry_after_s is None
        return parallel and limits.elsewhere > 0 and now_s - self._swept_s >= _HASTE_S

    def _taken(self, limits: Limits, tokens: int, now_s: float) -> Ticket | Exceeded:
        in_flight = limits.in_flight
        try:
            with self._home.transaction() as execute:
                now_s = self._load(execute, limits, now_s)
                taken = limits.take_here(tokens, now_s)
                if isinstance(taken, Ticket):
                    self._keep(execute, limits, now_s)
        except LimitsUnknown:
            limits.in_flight = in_flight  # what is not written down is not admitted
            raise
        return taken

    def _pay(self, now_s: float) -> None:
        """Put right what ended calls were charged. Raises LimitsUnknown; what is left is tried again."""
        while self._owed:
            limits, estimated, charged, used = self._owed[0]
            with self._home.transaction() as execute:
                at_s = self._load(execute, limits, now_s)
                limits.settle_here(estimated, charged, used, at_s)
                self._keep(execute, limits, at_s)
            del self._owed[0]

    def _load(self, execute: Execute, limits: Limits, now_s: float) -> float:
        """Know what all have counted; return the present, which is never before what anybody counted at."""
        found = limit_file.minute(execute, limits.key)
        limits.used_requests.replace(found.requests if found is not None else ())
        limits.used_tokens.replace(found.tokens if found is not None else ())
        limits.elsewhere = limit_file.running_elsewhere(execute, limits.key, self._home.name)
        return now_s if found is None else max(now_s, found.at_s)

    def _keep_all(self, execute: Execute, now_s: float) -> None:
        for limits in self._limits.values():
            limits.used_requests.forget(now_s)
            limits.used_tokens.forget(now_s)
            self._keep(execute, limits, now_s)

    def _keep(self, execute: Execute, limits: Limits, now_s: float) -> None:
        minute = Minute(now_s, limits.used_requests.slots, limits.used_tokens.slots)
        limit_file.keep(execute, limits.key, minute)
        limit_file.keep_running(execute, limits.key, self._home.name, limits.in_flight)

    def _sweep(self, now_s: float) -> None:
        self._swept_s = now_s
        self._home.sweep()

    def _told(self, trouble: LimitsUnknown) -> None:
        if not self._trouble:
            _log.warning("the limits of virtual keys: %s", trouble)
        self._trouble = str(trouble)
