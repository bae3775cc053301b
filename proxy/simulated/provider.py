"""The simulated provider without HTTP: a call goes in, the exchange to play and what to note of it come out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from data.model import Endpoint, Tokens
from proxy.attribution import key_label
from proxy.simulated import behaviour, steering
from proxy.simulated.answer import Answer, Ask, Moment, compose
from proxy.simulated.cache import CacheCounts, PromptCache
from proxy.simulated.dialect import BadAsk, Dialect, NotThere
from proxy.simulated.exchange import Exchange, Step, paced
from proxy.simulated.served import Books, Served
from proxy.simulated.settings import SimulatedSettings
from proxy.simulated.steering import BadSteering, Steering

_NO_TOKENS = Tokens()
_UNCACHED = {"cache-control": "no-cache"}
#: Where callers mark what is to be cached.
_MARKED = frozenset({Endpoint.MESSAGES, Endpoint.BATCHES})


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its protocol, headers and body, and when it came (seconds since the epoch)."""

    dialect: Dialect
    endpoint: Endpoint
    headers: Mapping[str, str]
    raw: bytes
    at: float
    serial: str

    @property
    def request_id(self) -> str:
        """The provider's name for it."""
        return f"req_{self.serial}"

    @property
    def credential(self) -> str:
        """The key that it came with; '' for none."""
        authorization = self.headers.get("authorization", "")
        named = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key")
        return named or authorization.removeprefix("Bearer ")

    def json(self) -> dict[str, Any]:
        """The body. Raises BadAsk where it is no JSON object."""
        try:
            body: Any = orjson.loads(self.raw)
        except orjson.JSONDecodeError as error:
            raise BadAsk(f"The request body is not valid JSON: {error}") from error
        if not isinstance(body, dict):
            raise BadAsk("The request body must be a JSON object")
        return body


class Work(NamedTuple):
    """An answer that is not made of words: its document (bytes as they are) and what to note of it."""

    document: object
    model: str = ""
    tokens: Tokens = _NO_TOKENS
    content_type: str = "application/json"
    by_line: bool = False  # sent line by line, as a stream


class Provider:
    """The state of one simulated provider: its prompt cache, its books, how many requests it has `seen`."""

    def __init__(self, settings: SimulatedSettings) -> None:
        self.settings = settings
        self.books = Books(settings.log_size)
        self._cache = PromptCache()
        self._chance = Random(settings.seed)  # noqa: S311 - chance, not a secret
        self._overloaded_until = 0.0
        self.seen = 0

    def call(
        self, dialect: Dialect, headers: Mapping[str, str], raw: bytes, at: float, *, endpoint: Endpoint | None = None
    ) -> Call:
        """Number a request that has arrived."""
        self.seen += 1
        return Call(dialect, endpoint or dialect.endpoint, headers, raw, at, self.serial(self.seen, raw))

    def serial(self, number: int, raw: bytes) -> str:
        """The unique part of the ids of request `number`."""
        return f"{self.settings.seed:04x}{number:08x}{crc32(raw):08x}5ca1ab1e0000"

    def answer(self, call: Call) -> tuple[Exchange, Served]:
        """What is sent back. A request that is not valid is refused as the provider would."""
        return self._guarded(call, self._answered)

    def plain(self, call: Call, work: Callable[[Call, Steering], Work]) -> tuple[Exchange, Served]:
        """What is sent back where `work` makes the answer."""

        def worked(call: Call, steered: Steering) -> tuple[Exchange, Served]:
            done = work(call, steered)
            body = done.document if isinstance(done.document, bytes) else orjson.dumps(done.document)
            steps = tuple(map(Step, body.splitlines(keepends=True))) if done.by_line else (Step(body),)
            exchange = self._exchange(call, steps, stream=done.by_line, content_type=done.content_type)
            exchange = behaviour.changed(exchange, steered, call.dialect, call.request_id)
            return exchange, noted(call, exchange, model=done.model, tokens=done.tokens)

        return self._guarded(call, worked)

    def composed(self, call: Call, ask: Ask, steered: Steering) -> Answer:
        """The answer to `ask`, which is the same for the same body."""
        random = Random(crc32(call.raw) ^ (self.settings.seed << 32))  # noqa: S311 - prose, not a secret
        moment = Moment(call.serial, int(call.at), random, self.settings.speed)
        return compose(ask, steered, self._cached(call, ask), moment)

    def _guarded(
        self, call: Call, answer: Callable[[Call, Steering], tuple[Exchange, Served]]
    ) -> tuple[Exchange, Served]:
        try:
            if not self._allowed(call):
                return self._refused(call, 401)
            steered = self._steering(call)
            if self._overloaded(call, steered):
                return self._refused(call, call.dialect.overloaded, fault="overloaded_for")
            return answer(call, steered)
        except NotThere as error:
            return self._refused(call, 404, str(error))
        except (BadAsk, BadSteering) as error:
            return self._refused(call, 400, str(error))

    def _answered(self, call: Call, steered: Steering) -> tuple[Exchange, Served]:
        ask = ask_of(call.dialect, call.json())
        answer = self.composed(call, ask, steered)
        kind = call.dialect.stream_type if ask.stream else "application/json"
        exchange = self._exchange(call, _script(call.dialect, answer), stream=ask.stream, content_type=kind)
        exchange = replace(exchange, sample=answer.text[:4].encode())
        exchange = behaviour.changed(exchange, steered, call.dialect, call.request_id)
        return exchange, noted(call, exchange, model=ask.model, stream=ask.stream, tokens=answer.tokens)

    def _refused(self, call: Call, status: int, why: str = "", fault: str = "") -> tuple[Exchange, Served]:
        body = call.dialect.error(status, call.request_id, why)
        exchange = replace(self._exchange(call, (Step(body),), status=status), fault=fault)
        return exchange, noted(call, exchange)

    def _exchange(
        self,
        call: Call,
        steps: tuple[Step, ...],
        *,
        status: int = 200,
        stream: bool = False,
        content_type: str = "application/json",
    ) -> Exchange:
        headers = call.dialect.headers(call.request_id, self.books.use(call.at))
        headers |= {"content-type": content_type} | (_UNCACHED if stream else {})
        return Exchange(status, headers, steps, stream=stream)

    def _steering(self, call: Call) -> Steering:
        """What the header asks for; without one, what chance brings."""
        header = call.headers.get(steering.HEADER)
        if header is None:
            header = behaviour.background(self.settings, call.dialect, self._chance)
        steered = steering.parse(header, behaviour.NAMES) if header else steering.UNSTEERED
        only = steered.words.get("only")
        return replace(steered, faults={}) if only and only != key_label(call.headers) else steered

    def _overloaded(self, call: Call, steered: Steering) -> bool:
        seconds = steered.numbers.get("overloaded_for")
        if seconds is not None:
            self._overloaded_until = call.at + seconds
        return call.at < self._overloaded_until

    def _cached(self, call: Call, ask: Ask) -> CacheCounts:
        read = self._cache.implicit if call.endpoint not in _MARKED else self._cache.marked
        return read(f"{call.credential}|{ask.model}", ask.segments, call.at)

    def _allowed(self, call: Call) -> bool:
        return not self.settings.api_key or call.credential == self.settings.api_key


def ask_of(dialect: Dialect, body: dict[str, Any]) -> Ask:
    """What `body` asks. Raises BadAsk."""
    try:
        return dialect.read(body)
    except (AttributeError, KeyError, TypeError) as error:
        # the readers look only at what they need; anything of another shape ends here
        raise BadAsk(f"The request is not of the expected shape: {error}") from error


def noted(
    call: Call, exchange: Exchange, *, model: str = "", stream: bool = False, tokens: Tokens = _NO_TOKENS
) -> Served:
    """What the books say of a call before its answer is sent."""
    return Served(
        id=call.request_id,
        at=call.at,
        endpoint=call.endpoint,
        model=model,
        stream=stream,
        status=exchange.status,
        complete=False,
        fault=exchange.fault,
        tokens=tokens,
        steering=call.headers.get(steering.HEADER, ""),
        user_agent=call.headers.get("user-agent", ""),
        credential=key_label(call.headers),
        request_id=call.headers.get("x-request-id", ""),
    )


def _script(dialect: Dialect, answer: Answer) -> tuple[Step, ...]:
    if answer.ask.stream:
        return paced(dialect.events(answer), ttft_s=answer.ttft_s, duration_s=answer.duration_s)
    return (Step(dialect.whole(answer), answer.duration_s),)
