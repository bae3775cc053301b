"""The simulated provider without HTTP: a call goes in, the exchange to play and what to note of it come out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from zlib import crc32

import orjson

from data.model import Endpoint, Tokens
from proxy.simulated import behaviour, steering
from proxy.simulated.answer import Answer, Ask, Moment, compose
from proxy.simulated.cache import CacheCounts, PromptCache
from proxy.simulated.dialect import BadAsk, Dialect
from proxy.simulated.exchange import Exchange, Step, paced
from proxy.simulated.served import Books, Served
from proxy.simulated.settings import SimulatedSettings
from proxy.simulated.steering import BadSteering, Steering

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
_NOTHING_ASKED = Ask(model="", stream=False, segments=())


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
        return self.headers.get("x-api-key") or authorization.removeprefix("Bearer ")


class Provider:
    """The state of one simulated provider: its prompt cache, its books, how many requests it has `seen`."""

    def __init__(self, settings: SimulatedSettings) -> None:
        self.settings = settings
        self.books = Books(settings.log_size)
        self._cache = PromptCache()
        self._chance = Random(settings.seed)  # noqa: S311 - chance, not a secret
        self.seen = 0

    def call(
        self, dialect: Dialect, headers: Mapping[str, str], raw: bytes, at: float, *, endpoint: Endpoint | None = None
    ) -> Call:
        """Number a request that has arrived."""
        self.seen += 1
        serial = f"{self.settings.seed:04x}{self.seen:08x}{crc32(raw):08x}5ca1ab1e0000"
        return Call(dialect, endpoint or dialect.endpoint, headers, raw, at, serial)

    def answer(self, call: Call) -> tuple[Exchange, Served]:
        """What is sent back. A request that is not valid is refused as the provider would."""
        try:
            return self._refused(call, 401) if not self._allowed(call) else self._answered(call)
        except (BadAsk, BadSteering) as error:
            return self._refused(call, 400, str(error))

    def counted(self, call: Call) -> tuple[Exchange, Served]:
        """The answer of Anthropic's count_tokens."""
        try:
            ask, steered = _ask(call), self._steering(call)
            given = steered.count("input")
            body = orjson.dumps({"input_tokens": ask.input_tokens if given is None else given})
            exchange = behaviour.changed(self._exchange(call, (Step(body),)), steered, call.dialect, call.request_id)
            return exchange, _noted(call, ask, Tokens(), exchange)
        except (BadAsk, BadSteering) as error:
            return self._refused(call, 400, str(error))

    def _answered(self, call: Call) -> tuple[Exchange, Served]:
        ask, steered = _ask(call), self._steering(call)
        random = Random(crc32(call.raw) ^ (self.settings.seed << 32))  # noqa: S311 - prose, not a secret
        moment = Moment(call.serial, int(call.at), random, self.settings.speed)
        answer = compose(ask, steered, self._cached(call, ask), moment)
        exchange = self._exchange(call, _script(call.dialect, answer), stream=ask.stream)
        exchange = replace(exchange, sample=answer.text[:4].encode())
        exchange = behaviour.changed(exchange, steered, call.dialect, call.request_id)
        return exchange, _noted(call, ask, answer.tokens, exchange)

    def _refused(self, call: Call, status: int, why: str = "") -> tuple[Exchange, Served]:
        body = call.dialect.error(status, call.request_id, why)
        exchange = self._exchange(call, (Step(body),), status=status)
        return exchange, _noted(call, _NOTHING_ASKED, Tokens(), exchange)

    def _exchange(self, call: Call, steps: tuple[Step, ...], *, status: int = 200, stream: bool = False) -> Exchange:
        headers = call.dialect.headers(call.request_id, self.books.use(call.at))
        return Exchange(status, headers | (_SSE if stream else _JSON), steps, stream=stream)

    def _steering(self, call: Call) -> Steering:
        """What the header asks for; without one, what chance brings."""
        header = call.headers.get(steering.HEADER)
        if header is None:
            header = behaviour.background(self.settings, call.dialect, self._chance)
        return steering.parse(header, behaviour.NAMES) if header else steering.UNSTEERED

    def _cached(self, call: Call, ask: Ask) -> CacheCounts:
        read = self._cache.marked if call.endpoint is Endpoint.MESSAGES else self._cache.implicit
        return read(f"{call.credential}|{ask.model}", ask.segments, call.at)

    def _allowed(self, call: Call) -> bool:
        return not self.settings.api_key or call.credential == self.settings.api_key


def _ask(call: Call) -> Ask:
    try:
        body: Any = orjson.loads(call.raw)
    except orjson.JSONDecodeError as error:
        raise BadAsk(f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadAsk("The request body must be a JSON object")
    try:
        return call.dialect.read(body)
    except (AttributeError, KeyError, TypeError) as error:
        # the readers look only at what they need; anything of another shape ends here
        raise BadAsk(f"The request is not of the expected shape: {error}") from error


def _script(dialect: Dialect, answer: Answer) -> tuple[Step, ...]:
    if answer.ask.stream:
        return paced(dialect.events(answer), ttft_s=answer.ttft_s, duration_s=answer.duration_s)
    return (Step(dialect.whole(answer), answer.duration_s),)


def _noted(call: Call, ask: Ask, tokens: Tokens, exchange: Exchange) -> Served:
    return Served(
        id=call.request_id,
        at=call.at,
        endpoint=call.endpoint,
        model=ask.model,
        stream=ask.stream,
        status=exchange.status,
        complete=False,
        fault=exchange.fault,
        tokens=tokens,
        steering=call.headers.get(steering.HEADER, ""),
        user_agent=call.headers.get("user-agent", ""),
    )
