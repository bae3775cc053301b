"""The demo's calls as rows of `requests`, priced like any other."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from data.demo.amounts import Amounts
from data.demo.draws import ANSWERED, ENDINGS, MODELS, Draws, Ints, is_openai
from data.demo.identifiers import uuid7s
from data.demo_team import MEMBERS
from data.model import Cause, CostStatus, Endpoint, Source, Tokens
from data.pricing import PriceBook, Priced
from data.records import SCHEMA

_BROKEN_NOTE = "output estimated from the text that had arrived"
_STOPS = (("end_turn", "tool_use", "max_tokens"), ("stop", "tool_calls", "length"))


def table(draws: Draws, amounts: Amounts, prices: PriceBook, random: np.random.Generator) -> pa.Table:
    """Rows of `requests` (schema `data.records.SCHEMA`), in the order of `draws`."""
    started = draws.ended_us - (amounts.duration_ms * 1000).astype(np.int64)
    tokens = _tokens(amounts)
    priced = _priced(draws, tokens, prices)
    columns = {
        **_identity(started, draws, random),
        **_who(draws, random),
        **_what(draws, random),
        **_ending(draws, amounts, priced, random),
        **_counts(amounts),
        "usage": _usage(draws, tokens),
        **_sizes(amounts, random),
    }
    constants = {"source": Source.DEMO, "credential": "", "liability_usd": None, "tool_units": 0, "speed": ""}
    columns |= {name: [value] * len(draws) for name, value in constants.items()}
    arrays = [_array(field, columns[field.name]) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _array(field: pa.Field, values: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values.cast(field.type)
    return pa.array(values, field.type, from_pandas=True)  # nan is null


def _chosen(names: Sequence[Any], index: Ints) -> pa.Array:
    return pa.array(names).take(pa.array(index))


def _of_members(attribute: str, draws: Draws) -> pa.Array:
    return _chosen([str(getattr(member, attribute)) for member in MEMBERS], draws.member)


def _identity(started: Ints, draws: Draws, random: np.random.Generator) -> dict[str, Any]:
    requests = uuid7s(started, random)
    for index in np.flatnonzero(draws.second_attempt):
        requests[index] = requests[index - 1]
    return {
        "id": uuid7s(started, random),
        "request_id": requests,
        "attempt": np.where(draws.second_attempt, 2, 1),
        "cause": _chosen([str(Cause.FIRST), str(Cause.RETRY)], draws.second_attempt * 1),
        "started_at": started.astype("datetime64[us]"),
        "ended_at": draws.ended_us.astype("datetime64[us]"),
    }


def _who(draws: Draws, random: np.random.Generator) -> dict[str, Any]:
    agents = [member.traits.user_agents for member in MEMBERS]
    flat = [agent for each in agents for agent in each]
    begins = np.cumsum([0, *map(len, agents)])[:-1]
    pick = random.random(len(draws)) * np.array([len(each) for each in agents])[draws.member]
    in_session = np.array([member.traits.has_sessions for member in MEMBERS])[draws.member]
    helped = in_session & (random.random(len(draws)) < 0.12)
    tags = [f'{{"env":"{member.env}"}}' for member in MEMBERS]
    return {
        "key": _of_members("key", draws),
        "user": _of_members("user", draws),
        "team": _of_members("team", draws),
        "project": draws.project,
        "session": draws.session,
        "agent": _chosen(["", "explorer", "reviewer"], helped * random.integers(1, 3, len(draws))),
        "user_agent": _chosen(flat, begins[draws.member] + pick.astype(np.int64)),
        "tags": _chosen(tags, draws.member),
    }


def _what(draws: Draws, random: np.random.Generator) -> dict[str, Any]:
    endpoints = [str(member.traits.endpoint) for member in MEMBERS]
    protocols = [str(member.traits.protocol) for member in MEMBERS]
    model = _chosen([each.name for each in MODELS], draws.model)
    openai = is_openai()[draws.member]
    served = draws.ending == ANSWERED
    tiers = ["standard", "default", ""]
    return {
        "protocol": _chosen(protocols, draws.member),
        "provider": _chosen(protocols, draws.member),
        "endpoint": _chosen(
            [*endpoints, str(Endpoint.COUNT_TOKENS)], np.where(draws.counting, len(MEMBERS), draws.member)
        ),
        "model_requested": model,
        "model": model,
        "stream": draws.stream,
        "service_tier": _chosen(tiers, np.where(served & ~draws.counting, openai * 1, 2)),
        "inference_geo": _chosen(["", "global"], (served & ~openai & ~draws.counting) * 1),
        "provider_request_id": [f"req_{number:024x}" for number in random.integers(0, 2**63, len(draws))],
    }


def _ending(draws: Draws, amounts: Amounts, priced: list[Priced], random: np.random.Generator) -> dict[str, Any]:
    side = is_openai()[draws.member] * 1
    pair = draws.ending * 2 + side
    broken = np.array([ending.streamed_only for ending in ENDINGS])[draws.ending] & (amounts.output > 0)
    stops = [*_STOPS[0], *_STOPS[1], ""]
    kind = random.choice(3, len(draws), p=[0.52, 0.45, 0.03])
    stopped = (draws.ending == ANSWERED) & ~draws.counting
    status = [
        CostStatus.ESTIMATED if cut and p.cost_usd is not None else p.status
        for p, cut in zip(priced, broken.tolist(), strict=True)
    ]
    return {
        "outcome": _chosen([str(ending.outcome) for ending in ENDINGS], draws.ending),
        "status": _chosen([status for ending in ENDINGS for status in ending.statuses], pair),
        "error_class": _chosen([name for ending in ENDINGS for name in ending.classes], pair),
        "error_message": _chosen([ending.message for ending in ENDINGS], draws.ending),
        "stop_reason": _chosen(stops, np.where(stopped, side * 3 + kind, 6)),
        "cost_usd": [p.cost_usd for p in priced],
        "cost_status": status,
        "cost_note": _chosen(["", _BROKEN_NOTE], broken * 1),
        "price_source": [p.source for p in priced],
    }


def _counts(amounts: Amounts) -> dict[str, Any]:
    return {
        "uncached_input_tokens": amounts.uncached,
        "cache_read_tokens": amounts.cache_read,
        "cache_write_5m_tokens": amounts.cache_write_5m,
        "cache_write_1h_tokens": amounts.cache_write_1h,
        "output_tokens": amounts.output,
        "reasoning_tokens": amounts.reasoning,
    }


def _sizes(amounts: Amounts, random: np.random.Generator) -> dict[str, Any]:
    number = len(amounts.output)
    total = amounts.uncached + amounts.cache_read + amounts.cache_write_5m + amounts.cache_write_1h
    return {
        "ttft_ms": amounts.ttft_ms,
        "duration_ms": amounts.duration_ms,
        "overhead_ms": random.lognormal(-0.1, 0.45, number).round(3),
        "request_bytes": total * 4 + random.integers(300, 2_500, number),
        "response_bytes": amounts.output * random.integers(5, 40, number) + random.integers(250, 900, number),
    }


def _tokens(amounts: Amounts) -> list[Tokens]:
    columns = (
        amounts.uncached,
        amounts.cache_read,
        amounts.cache_write_5m,
        amounts.cache_write_1h,
        amounts.output,
        amounts.reasoning,
    )
    return [Tokens(*counts) for counts in zip(*(column.tolist() for column in columns), strict=True)]


def _priced(draws: Draws, tokens: Sequence[Tokens], prices: PriceBook) -> list[Priced]:
    """The price of each row on its day; the rows of `draws` are of one UTC day."""
    at = datetime.fromtimestamp(int(draws.ended_us[0]) / 1e6, UTC)
    names = [model.name for model in MODELS]
    protocols = [str(member.traits.protocol) for member in MEMBERS]
    return [
        prices.price(provider=protocols[who], protocol=protocols[who], model=names[what], tokens=counts, at=at)
        for who, what, counts in zip(draws.member.tolist(), draws.model.tolist(), tokens, strict=True)
    ]


def _usage(draws: Draws, tokens: Sequence[Tokens]) -> list[str]:
    """The provider's raw usage object of every call that was answered to its end."""
    writers = [_WRITERS[member.traits.endpoint] for member in MEMBERS]
    answered = (draws.ending == ANSWERED) & ~draws.counting
    return [
        writers[who](counts) if whole else ""
        for who, whole, counts in zip(draws.member.tolist(), answered.tolist(), tokens, strict=True)
    ]


def _messages_usage(counts: Tokens) -> str:
    return (
        f'{{"input_tokens":{counts.uncached_input},'
        f'"cache_creation_input_tokens":{counts.cache_write_5m + counts.cache_write_1h},'
        f'"cache_read_input_tokens":{counts.cache_read},'
        f'"cache_creation":{{"ephemeral_5m_input_tokens":{counts.cache_write_5m},'
        f'"ephemeral_1h_input_tokens":{counts.cache_write_1h}}},'
        f'"output_tokens":{counts.output},"service_tier":"standard"}}'
    )


def _chat_usage(counts: Tokens) -> str:
    return (
        f'{{"prompt_tokens":{counts.input},"completion_tokens":{counts.output},'
        f'"total_tokens":{counts.input + counts.output},'
        f'"prompt_tokens_details":{{"cached_tokens":{counts.cache_read}}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{counts.reasoning}}}}}'
    )


def _responses_usage(counts: Tokens) -> str:
    return (
        f'{{"input_tokens":{counts.input},"input_tokens_details":{{"cached_tokens":{counts.cache_read}}},'
        f'"output_tokens":{counts.output},"output_tokens_details":{{"reasoning_tokens":{counts.reasoning}}},'
        f'"total_tokens":{counts.input + counts.output}}}'
    )


_WRITERS: Mapping[Endpoint, Callable[[Tokens], str]] = {
    Endpoint.MESSAGES: _messages_usage,
    Endpoint.CHAT_COMPLETIONS: _chat_usage,
    Endpoint.RESPONSES: _responses_usage,
}
