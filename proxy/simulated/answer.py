"""What was asked and what is answered, whatever the protocol. Pure: the same seed and question give the same answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from data.model import Tokens
from proxy.simulated import words
from proxy.simulated.cache import CacheCounts, Segment
from proxy.simulated.model_list import ModelProfile, profile
from proxy.simulated.steering import Steering

_STREAMED_AT_ONCE = 6
_MOST_CHUNKS = 160


class Stop(StrEnum):
    """Why the answer ended."""

    END = "end"
    TOOL = "tool"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call; `schema` is the JSON schema of its arguments."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, in plain values."""

    model: str
    stream: bool
    segments: tuple[Segment, ...]
    max_tokens: int | None = None
    thinking: bool = False
    tools: tuple[ToolSpec, ...] = ()
    must_call: bool = False
    answers_tool: bool = False  # the last message is a tool's result
    include_usage: bool = True
    tier: str = ""
    explicit_cache: bool = False

    @property
    def input_tokens(self) -> int:
        """Everything that was sent, in tokens."""
        return sum(segment.tokens for segment in self.segments)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model makes."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: text, thinking, perhaps a tool call; its exact counts; its times in seconds."""

    ask: Ask
    id: str  # unique, without a prefix
    model: str
    created: int  # seconds since the epoch
    tokens: Tokens
    stop: Stop
    text: str
    thinking: str
    tool: ToolCall | None
    tier: str
    ttft_s: float
    duration_s: float
    chunks: int

    def pieces(self) -> list[str]:
        """The text in the parts that it is streamed in."""
        return words.pieces(self.text, self.chunks)


@dataclass(frozen=True, slots=True)
class Moment:
    """What an answer depends on beyond the request; `created` is in seconds since the epoch."""

    id: str
    created: int
    random: Random
    speed: float


def compose(ask: Ask, steering: Steering, cached: CacheCounts, moment: Moment) -> Answer:
    """Decide on the answer to `ask`; what `steering` gives holds exactly, the rest is plausible."""
    model = profile(ask.model)
    random = moment.random
    calls = _calls_tool(ask, steering, random)
    tokens, stop = _counts(ask, steering, cached, model, random)
    ttft_s, duration_s = _times(steering, model, tokens, moment)
    said = max(1, tokens.output - tokens.reasoning) if tokens.output else 0
    return Answer(
        ask=ask,
        id=moment.id,
        model=steering.words.get("model") or ask.model,
        created=moment.created,
        tokens=tokens,
        stop=Stop.TOOL if calls else stop,
        text=words.prose(random, min(said, 24) if calls else said),
        thinking=words.prose(random, max(1, tokens.reasoning)) if ask.thinking else "",
        tool=_tool_call(ask, moment) if calls else None,
        tier=steering.words.get("tier") or ask.tier,
        ttft_s=ttft_s,
        duration_s=duration_s,
        chunks=_chunks(steering, duration_s - ttft_s, said),
    )


def _counts(
    ask: Ask, steering: Steering, cached: CacheCounts, model: ModelProfile, random: Random
) -> tuple[Tokens, Stop]:
    natural = max(1, round(random.lognormvariate(0, 0.7) * model.answer_tokens))
    limit = ask.max_tokens or natural
    output = steering.count("output")
    stop = Stop.LENGTH if output is None and natural > limit else Stop.END
    output = min(natural, limit) if output is None else output
    reasoning = steering.count("reasoning")
    if reasoning is None:
        reasoning = output // 3 if ask.thinking or (model.reasons and "output" not in steering.numbers) else 0
    written = {name: steering.count(name) for name in ("cache_read", "cache_write_5m", "cache_write_1h")}
    given = steering.counted
    simulated = {name: 0 if given else getattr(cached, name) for name in written}
    counts = {name: simulated[name] if value is None else value for name, value in written.items()}
    uncached = steering.count("input")
    if uncached is None:
        uncached = max(0, ask.input_tokens - (0 if given else sum(simulated.values())))
    return Tokens(uncached_input=uncached, output=output, reasoning=min(reasoning, output), **counts), stop


def _times(steering: Steering, model: ModelProfile, tokens: Tokens, moment: Moment) -> tuple[float, float]:
    """Seconds until the first and the last byte; given ones hold, simulated ones are scaled by the speed."""
    reading_s = tokens.uncached_input / 20_000
    ttft_s = moment.random.lognormvariate(0, 0.35) * model.ttft_ms / 1000 + reading_s
    writing_s = tokens.output / (model.tokens_per_s * moment.random.uniform(0.8, 1.2))
    scale = 1 / moment.speed if moment.speed else 0.0
    given_ttft, given_duration = steering.numbers.get("ttft_ms"), steering.numbers.get("duration_ms")
    ttft_s = ttft_s * scale if given_ttft is None else given_ttft / 1000
    duration_s = ttft_s + writing_s * scale if given_duration is None else given_duration / 1000
    return min(ttft_s, duration_s), duration_s


def _chunks(steering: Steering, writing_s: float, said: int) -> int:
    given = steering.count("chunks")
    if given is not None:
        return max(1, given)
    if writing_s <= 0:
        return _STREAMED_AT_ONCE
    return max(1, min(_MOST_CHUNKS, said // 2, round(writing_s / 0.04)))


def _calls_tool(ask: Ask, steering: Steering, random: Random) -> bool:
    if not ask.tools:
        return False
    given = steering.count("tool")
    if given is not None:
        return bool(given)
    return ask.must_call or (not ask.answers_tool and random.random() < 0.6)


def _tool_call(ask: Ask, moment: Moment) -> ToolCall:
    tool = moment.random.choice(ask.tools)
    arguments = _example(tool.schema, moment.random)
    return ToolCall(moment.id[:24], tool.name, arguments if isinstance(arguments, dict) else {})


def _example(schema: Mapping[str, Any], random: Random, depth: int = 0) -> object:
    """A value that fits the plain parts of a JSON schema."""
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" and depth < 4:
        wanted = schema.get("required") or list(schema.get("properties", {}))
        properties = schema.get("properties", {})
        return {name: _example(properties.get(name, {"type": "string"}), random, depth + 1) for name in wanted}
    simple = {"integer": random.randint(1, 40), "number": round(random.random() * 10, 2), "boolean": True}
    return simple.get(kind, [] if kind == "array" else words.prose(random, 6))


def as_json(arguments: Mapping[str, Any]) -> str:
    """A tool call's arguments as the text that a provider sends."""
    return json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
