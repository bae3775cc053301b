"""Everything that can go wrong at a provider, as changes to a good exchange. To add one: a function and an entry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from proxy.simulated.dialect import Dialect, Trouble
from proxy.simulated.exchange import Ending, Exchange, Step
from proxy.simulated.packing import Brotli, Packer, Zlib, Zstd
from proxy.simulated.settings import SimulatedSettings
from proxy.simulated.steering import BadSteering, Steering

_DRIP_S = 0.001
_INVALID = b"\xff\xfe\xc3("


@dataclass(frozen=True, slots=True)
class Case:
    """What a behaviour is applied with: its value in the header, the rest of the header, the protocol."""

    value: str
    steering: Steering
    dialect: Dialect
    request_id: str

    @property
    def after(self) -> int:
        """The value as a number of events."""
        return int(self.number)

    @property
    def number(self) -> float:
        """The value as a number. Raises BadSteering."""
        try:
            return float(self.value)
        except ValueError as error:
            raise BadSteering(f"x-simulate: {self.value!r} is not a number") from error


class Behaviour(NamedTuple):
    """A name for the header, what it does in a sentence, and how it changes the exchange."""

    name: str
    says: str
    apply: Callable[[Exchange, Case], Exchange]


def _error(exchange: Exchange, case: Case) -> Exchange:
    if not 400 <= case.after <= 599:
        raise BadSteering(f"x-simulate: error={case.value!r} is not a status between 400 and 599")
    headers = {**exchange.headers, "content-type": "application/json"}
    retry_after = case.steering.numbers.get("retry_after")
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    body = case.dialect.error(case.after, case.request_id)
    wait_s = case.steering.numbers.get("duration_ms", 0.0) / 1000
    return replace(exchange, status=case.after, headers=headers, steps=(Step(body, wait_s),), stream=False)


def _context_length(exchange: Exchange, case: Case) -> Exchange:
    return _troubled(exchange, case, Trouble.CONTEXT_LENGTH)


def _content_policy(exchange: Exchange, case: Case) -> Exchange:
    return _troubled(exchange, case, Trouble.CONTENT_POLICY)


def _hang(exchange: Exchange, _case: Case) -> Exchange:
    return replace(exchange, steps=(), ending=Ending.HANG)


def _hang_after(exchange: Exchange, case: Case) -> Exchange:
    return replace(_cut(exchange, case.after), ending=Ending.HANG)


def _hang_up(exchange: Exchange, _case: Case) -> Exchange:
    return replace(exchange, steps=(), ending=Ending.HANG_UP)


def _hang_up_after(exchange: Exchange, case: Case) -> Exchange:
    return replace(_cut(exchange, case.after), ending=Ending.HANG_UP)


def _truncate_after(exchange: Exchange, case: Case) -> Exchange:
    return replace(_cut(exchange, case.after), content_length=None, intact=False)


def _error_event_after(exchange: Exchange, case: Case) -> Exchange:
    if not exchange.stream:
        return _error(exchange, replace(case, value=str(case.dialect.overloaded)))
    steps = (*exchange.steps[: case.after], Step(case.dialect.error_event()))
    return replace(exchange, steps=steps, intact=False)


def _garbage(exchange: Exchange, _case: Case) -> Exchange:
    junk = b'data: {"type": "mess\n\nevent\ndata\n:::\n\n\x00\x01' if exchange.stream else b'{"type": "mess\x00<html>'
    return replace(exchange, steps=(Step(junk),), intact=False)


def _wrong_length(exchange: Exchange, _case: Case) -> Exchange:
    length = sum(len(step.data) for step in exchange.steps)
    return replace(exchange, content_length=length + 100, ending=Ending.HANG_UP)


def _unknown_event(exchange: Exchange, case: Case) -> Exchange:
    if not exchange.stream:
        return exchange
    first, *rest = exchange.steps
    return replace(exchange, steps=(first, Step(case.dialect.unknown_event()), *rest))


def _slow_drip(exchange: Exchange, case: Case) -> Exchange:
    """One byte at a time, `value` milliseconds apart."""
    gap = case.number * _DRIP_S
    whole = b"".join(step.data for step in exchange.steps)
    return replace(exchange, steps=tuple(Step(whole[at : at + 1], gap) for at in range(len(whole))))


def _invalid_utf8(exchange: Exchange, _case: Case) -> Exchange:
    steps = tuple(Step(data.replace(exchange.sample, _INVALID, 1), wait) for data, wait in exchange.steps)
    return replace(exchange, steps=steps) if exchange.sample else exchange


def _crlf(exchange: Exchange, _case: Case) -> Exchange:
    return _each(exchange, lambda data: data.replace(b"\n", b"\r\n")) if exchange.stream else exchange


def _comments(exchange: Exchange, _case: Case) -> Exchange:
    return _each(exchange, lambda data: b": keep-alive\n\n" + data) if exchange.stream else exchange


def _gzip(exchange: Exchange, _case: Case) -> Exchange:
    return _compressed(exchange, "gzip", Zlib(31))


def _deflate(exchange: Exchange, _case: Case) -> Exchange:
    return _compressed(exchange, "deflate", Zlib(15))


def _brotli(exchange: Exchange, _case: Case) -> Exchange:
    return _compressed(exchange, "br", Brotli())


def _zstd(exchange: Exchange, _case: Case) -> Exchange:
    return _compressed(exchange, "zstd", Zstd())


BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("error", "answers with this status; retry_after=S adds the header", _error),
    Behaviour("context_length", "says that the request is too long for the model", _context_length),
    Behaviour("content_policy", "says that the request's content is not allowed", _content_policy),
    Behaviour("hang", "reads the request and never answers", _hang),
    Behaviour("hang_after", "sends this many events, then nothing more", _hang_after),
    Behaviour("hang_up", "closes the connection without an answer", _hang_up),
    Behaviour("hang_up_after", "sends this many events, then closes the connection", _hang_up_after),
    Behaviour("truncate_after", "sends this many events, then ends the answer as if it were complete", _truncate_after),
    Behaviour("error_event_after", "sends this many events, then an error event", _error_event_after),
    Behaviour("garbage", "answers 200 with bytes that are not the protocol", _garbage),
    Behaviour("wrong_length", "promises 100 bytes more than it sends", _wrong_length),
    Behaviour("unknown_event", "sends an event that no client knows, after the first one", _unknown_event),
    Behaviour("invalid_utf8", "puts bytes that are not UTF-8 into the text", _invalid_utf8),
    Behaviour("comments", "sends a comment before every event", _comments),
    Behaviour("crlf", "ends the lines of its events with CRLF", _crlf),
    Behaviour("gzip", "compresses its answer with gzip", _gzip),
    Behaviour("deflate", "compresses its answer with deflate", _deflate),
    Behaviour("br", "compresses its answer with brotli", _brotli),
    Behaviour("zstd", "compresses its answer with zstd", _zstd),
    Behaviour("slow_drip", "sends one byte at a time, this many milliseconds apart", _slow_drip),
)

NAMES = frozenset(behaviour.name for behaviour in BEHAVIOURS)


def changed(exchange: Exchange, steering: Steering, dialect: Dialect, request_id: str) -> Exchange:
    """The exchange after every behaviour that was chosen, in the registry's order. Raises BadSteering."""
    for behaviour in BEHAVIOURS:
        if behaviour.name in steering.faults:
            case = Case(steering.faults[behaviour.name], steering, dialect, request_id)
            fault = f"{behaviour.name}={case.value}"
            exchange = replace(behaviour.apply(exchange, case), fault=",".join(filter(None, (exchange.fault, fault))))
    return exchange


def background(settings: SimulatedSettings, dialect: Dialect, random: Random) -> str:
    """The fault that this request meets by chance, as the header would name it; '' for most requests."""
    chances = (
        (settings.error_rate, "error=500"),
        (settings.rate_limit_rate, f"error=429,retry_after={random.randint(1, 20)}"),
        (settings.overload_rate, f"error={dialect.overloaded}"),
        (settings.hang_rate, "hang"),
        (settings.hang_up_rate, f"hang_up_after={random.randint(1, 6)}"),
        (settings.error_event_rate, f"error_event_after={random.randint(1, 6)}"),
    )
    draw = random.random()
    for rate, fault in chances:
        if draw < rate:
            return fault
        draw -= rate
    return ""


def _cut(exchange: Exchange, events: int) -> Exchange:
    """The first `events` events; half the body of an answer that is not streamed."""
    if exchange.stream:
        return replace(exchange, steps=exchange.steps[:events])
    body = exchange.steps[0].data
    return replace(exchange, steps=(Step(body[: len(body) // 2], exchange.steps[0].wait_s),), content_length=len(body))


def _each(exchange: Exchange, change: Callable[[bytes], bytes]) -> Exchange:
    return replace(exchange, steps=tuple(Step(change(step.data), step.wait_s) for step in exchange.steps))


def _troubled(exchange: Exchange, case: Case, trouble: Trouble) -> Exchange:
    status, body = case.dialect.trouble(trouble, case.request_id)
    headers = {**exchange.headers, "content-type": "application/json"}
    return replace(exchange, status=status, headers=headers, steps=(Step(body),), stream=False)


def _compressed(exchange: Exchange, coding: str, packer: Packer) -> Exchange:
    """Every step compressed and flushed by itself, so that a stream stays one."""
    steps = [Step(packer.piece(step.data), step.wait_s) for step in exchange.steps]
    if steps and exchange.ending is Ending.COMPLETE:
        steps[-1] = Step(steps[-1].data + packer.end(), steps[-1].wait_s)
    length = sum(len(step.data) for step in steps) if exchange.content_length else None
    headers = {**exchange.headers, "content-encoding": coding}
    return replace(exchange, steps=tuple(steps), headers=headers, content_length=length)
