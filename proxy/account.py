"""The account of one call: what passes is timed and counted, and closing it writes the call's one ledger record."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter, time_ns
from typing import Final
from typing import Protocol as Shape

import msgspec

from data.model import Endpoint, LedgerRecord, Outcome, RequestStart
from proxy.books import Books
from proxy.in_flight import Phase
from proxy.record import Cost, Ending, Pricer, cost_of, row
from proxy.secrets import scrubbed
from proxy.tee import Tee
from proxy.usage import UNREADABLE_ANSWER, is_unexpected
from proxy.usage.estimate import with_estimated_input
from proxy.usage.usage import Usage

#: What this proxy calls its own failures and its clients'.
_NOT_THE_PROVIDERS: Final = frozenset({"client_too_slow", "incomplete_request", "proxy_error", "request_too_large"})
_NO_ANSWER = Usage(note="no answer was seen")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call did not end well. `status` is what the client was sent, 0 for nothing."""

    outcome: Outcome
    status: int
    error_class: str
    message: str = ""
    billed: bool = True  # False: the provider cannot have charged for it
    final: bool = False  # True: it stands even where a stream's last event was seen

    @property
    def blames_provider(self) -> bool:
        """Whether the provider is at fault, as far as one can tell: not the client, and not this proxy."""
        failed = self.outcome in {Outcome.ERROR, Outcome.PARTIAL, Outcome.TIMEOUT}
        return failed and self.error_class not in _NOT_THE_PROVIDERS


class Hold(Shape):
    """What budgets hold for an attempt; `proxy.purse.Hold` is one."""

    def liability(self, start: RequestStart, told: Usage, cost: Cost, *, billed: bool, at_us: int) -> Decimal | None:
        """Return what budgets count where that is not the cost; `told` is without estimates from the request.

        `billed=False`: without counts the provider has charged nothing. The attempt ended at `at_us`.
        """
        ...

    def settle(self, record: LedgerRecord, sequence: int) -> None:
        """Count it: its row has this number."""
        ...

    def release(self) -> None:
        """Let go of it: no row was written."""
        ...


class Taken(Shape):
    """How far a request has come that is passed on meanwhile; `proxy.streamed_body.StreamedBody` is one."""

    @property
    def taken(self) -> int:
        """Bytes of its body so far."""
        ...

    @property
    def ended(self) -> bool:
        """Whether all of it is here."""
        ...


class Account:
    """Times and counts one call. `close` may be called again: only the first time counts."""

    def __init__(
        self, start: RequestStart, books: Books, price: Pricer, arrived: float, secrets: tuple[str, ...] = ()
    ) -> None:
        """`arrived`: when the request's last byte was here (`perf_counter` seconds); `secrets` are never stored."""
        self._secrets = secrets
        self.start = start
        self._books = books
        self._price = price
        self.hold: Hold | None = None
        self._arrived = arrived
        self.streamed: Taken | None = None  # the request's body, where it is passed on as it comes
        self._asked = arrived  # since when the provider could answer
        self._sent = self._last_byte = 0.0
        self._status = self._bytes = 0
        self._streams = self._closed = False
        self.tokens = 0  # that the provider counted, or that were estimated, once it is closed
        self.fault: Fault | None = None  # what ended it; None: nothing did, or it is not closed yet
        self._provider_request_id = ""
        self._ttft_ms: float | None = None
        self._tee: Tee | None = None

    def sent(self) -> None:
        """The request leaves for the provider now."""
        self._sent = perf_counter()

    def whole(self) -> None:
        """The last byte of a streamed request is here now."""
        self._asked = perf_counter()

    @property
    def status(self) -> int:
        """The status of the provider's answer; 0 before it began."""
        return self._status

    def answered(
        self, status: int, headers: Mapping[str, str], tee: Tee, *, streams: bool, provider_request_id: str
    ) -> None:
        """The provider's headers are here; `tee` will see the body."""
        self._books.answered(self.start, headers)
        self._status, self._tee, self._streams = status, tee, streams
        self._provider_request_id = provider_request_id

    def saw(self, chunk: bytes, at: float) -> bytes | None:
        """Count a piece of the body that came at `at`; return its first slice decoded, or None where it cannot be.

        While there is more (`pending`), an empty piece gives the next slice.
        """
        self._bytes += len(chunk)
        self._last_byte = at
        if self._tee is None:
            return None
        plain = self._tee.feed(chunk)
        if self._streams and self._ttft_ms is None and self._tee.output_started:
            self._ttft_ms = (at - self._asked) * 1000
        return plain

    @property
    def phase(self) -> Phase:
        """How far the call is."""
        if self._tee is not None:
            return Phase.RECEIVING
        if self._sent and self.streamed is not None and not self.streamed.ended:
            return Phase.SENDING
        return Phase.WAITING if self._sent else Phase.PREPARING

    @property
    def bytes_seen(self) -> int:
        """Bytes of the answer's body so far."""
        return self._bytes

    @property
    def pending(self) -> bool:
        """Whether there is more to count of the pieces that were seen."""
        return self._tee is not None and self._tee.pending

    def close(self, fault: Fault | None = None) -> None:
        """Say how it ended: the answer is complete, or `fault` ended it. Its record is written at the turn's end."""
        if self._closed:
            return
        self._closed = True
        usage = self._tee.finish() if self._tee is not None else _NO_ANSWER
        fault = self._fault_in_answer(usage) if fault is None else self._still_fault(fault, usage)
        self.fault = fault
        tokens = self._with_input(usage, fault).all_tokens
        self.tokens = tokens.input + tokens.output
        now, now_us = perf_counter(), time_ns() // 1000
        self._books.enter(lambda: self._enter(usage, fault, now, now_us))

    def _enter(self, usage: Usage, fault: Fault | None, now: float, now_us: int) -> None:
        try:
            self._write(self._record(usage, fault, now, now_us))
        except Exception:  # noqa: BLE001 - other calls must not suffer from it
            _log.exception("a call could not be accounted for", extra={"record": self.start.id})

    def _write(self, record: LedgerRecord) -> None:
        hold = self.hold
        try:
            sequence = self._books.ledger.take(record)
        except Exception:
            if hold is not None:
                hold.release()
            raise
        finally:
            self._books.closed(record)
        if hold is not None:
            hold.settle(record, sequence)

    def _fault_in_answer(self, usage: Usage) -> Fault | None:
        if is_unexpected(self._status) and self.start.endpoint is not Endpoint.MODELS:
            message = f"the provider answered with status {self._status}"
            return Fault(Outcome.ERROR, self._status, "unexpected_status", message, billed=False)
        if self._status >= 400:
            return Fault(Outcome.ERROR, self._status, usage.error_class or f"http_{self._status}", billed=False)
        if usage.error_class:
            billed = self._streams or usage.error_class == UNREADABLE_ANSWER
            return Fault(Outcome.ERROR, self._status, usage.error_class, billed=billed)
        if self._streams and not (usage.complete or usage.stop_reason):
            return Fault(Outcome.PARTIAL, self._status, "incomplete_stream", "the stream ended before its last event")
        return None

    def _still_fault(self, fault: Fault, usage: Usage) -> Fault | None:
        """A stream whose last event has passed on is complete, however its connections ended."""
        whole = self._streams and usage.complete and not usage.error_class
        return None if whole and not fault.final else fault

    def _with_input(self, usage: Usage, fault: Fault | None) -> Usage:
        billed = fault is None or fault.billed
        return with_estimated_input(usage, self.start.estimated_input_tokens) if billed else usage

    def _record(self, usage: Usage, fault: Fault | None, now: float, now_us: int) -> LedgerRecord:
        billed, told = fault is None or fault.billed, usage
        usage = self._with_input(usage, fault)
        ended_at = max(now_us, self.start.started_at)
        cost = cost_of(self.start, usage, self._price, at_us=ended_at, billed=billed)
        ending = Ending(
            outcome=fault.outcome if fault else Outcome.OK,
            status=fault.status if fault else self._status,
            ended_at=ended_at,
            duration_ms=(now - self._arrived) * 1000,
            overhead_ms=self._overhead(now) * 1000,
            ttft_ms=self._ttft_ms,
            response_bytes=self._bytes,
            provider_request_id=self._provider_request_id,
            error_class=fault.error_class if fault else "",
            error_message=fault.message if fault else "",
        )
        liability = None
        if self.hold is not None:
            liability = self.hold.liability(self.start, told, cost, billed=billed, at_us=ended_at)
        start = self.start
        if self.streamed is not None:
            start = msgspec.structs.replace(start, request_bytes=self.streamed.taken)
        return scrubbed(row(start, ending, usage, cost, liability), self._secrets, RequestStart)

    def _overhead(self, now: float) -> float:
        """Seconds this proxy added: before the request left, and after the answer's last byte."""
        before = (self._sent or now) - self._arrived
        after = now - self._last_byte if self._last_byte else 0.0
        return before + after
