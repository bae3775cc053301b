"""A call of a session log as rows of the ledger, priced at the day it ended. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

import msgspec

from data.imports.claude_code import Call
from data.imports.usage import answer_of, extras_of
from data.model import CostStatus, Endpoint, LedgerRecord, Outcome, Protocol, Source, Tokens
from data.pricing import PriceBook

#: The namespace of the ids of imported calls: the same call has the same id for ever.
_NAMESPACE = UUID("6f0c1c5e-9d0b-5b0e-8a53-2c0a54d2f6a1")
#: How the ids of messages begin that cloud platforms made, and how these are called here.
_PLATFORMS = (("msg_bdrk_", "bedrock"), ("msg_vrtx_", "vertex"))
#: What git says where no branch is checked out.
_NO_BRANCH = ("", "HEAD")
NO_END = "the log holds no end of this answer: its output may be more"


@dataclass(frozen=True, slots=True)
class Labels:
    """What is said of all imported rows. `provider` '': Anthropic, or the platform that the ids tell."""

    user: str = ""
    team: str = ""
    provider: str = ""
    full_paths: bool = False  # projects are called by their whole path


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes rows of calls, with these prices and labels."""

    prices: PriceBook
    labels: Labels = field(default_factory=Labels)

    def of(self, call: Call) -> list[LedgerRecord]:
        """The row of the call, then one for each of what was sampled within it and is not in its counts."""
        usage = call.said()
        model, tokens = answer_of(usage, call.model)
        whole = self._row(call, call.key, usage, tokens, model)
        rows = [msgspec.structs.replace(whole, usage=call.usage, model_requested=call.model)]
        for extra in extras_of(usage, call.model):
            key = f"{call.key} {extra.kind} {extra.number}"
            row = self._row(call, key, usage, extra.tokens, extra.model or call.model)
            tags = row.tags | {"iteration": extra.kind}
            rows.append(msgspec.structs.replace(row, request_id=whole.request_id, tags=tags))
        return rows

    def _row(self, call: Call, key: str, usage: Mapping[str, object], tokens: Tokens, model: str) -> LedgerRecord:
        labels = self.labels
        tier, geo, speed = (_word(usage.get(name)) for name in ("service_tier", "inference_geo", "speed"))
        provider = labels.provider or _platform(call.message_id)
        priced = self.prices.price(
            provider=provider,
            protocol=Protocol.ANTHROPIC,
            model=model,
            tokens=tokens,
            at=datetime.fromtimestamp(call.ended_at / 1_000_000, UTC),
            service_tier=tier,
            speed=speed,
            inference_geo=geo,
        )
        unsure = priced.status is CostStatus.EXACT and not call.stop_reason
        notes = [priced.note, "" if call.stop_reason else NO_END]
        started = call.started_at or call.ended_at
        number = row_id(key)
        return LedgerRecord(
            id=number,
            request_id=number,
            started_at=started,
            ended_at=call.ended_at,
            source=Source.IMPORTED,
            user=labels.user,
            team=labels.team,
            project=call.cwd if labels.full_paths else call.project,
            session=call.session,
            agent=call.agent,
            user_agent=f"claude-code/{call.version}" if call.version else "claude-code",
            protocol=Protocol.ANTHROPIC,
            endpoint=Endpoint.MESSAGES,
            provider=provider,
            model_requested=model,
            model=model,
            stream=True,
            outcome=Outcome.OK,
            status=200,
            stop_reason=call.stop_reason,
            provider_request_id=call.request_id,
            uncached_input_tokens=tokens.uncached_input,
            cache_read_tokens=tokens.cache_read,
            cache_write_5m_tokens=tokens.cache_write_5m,
            cache_write_1h_tokens=tokens.cache_write_1h,
            output_tokens=tokens.output,
            reasoning_tokens=tokens.reasoning,
            tool_units=tokens.tool_units,
            cost_usd=priced.cost_usd,
            cost_status=CostStatus.ESTIMATED if unsure else priced.status,
            cost_note="; ".join(note for note in notes if note),
            price_source=priced.source,
            service_tier=tier,
            inference_geo=geo,
            speed=speed,
            duration_ms=(call.ended_at - started) / 1000,
            tags={"branch": call.branch} if call.branch not in _NO_BRANCH else {},
        )


def row_id(key: str) -> str:
    """The id of the row that `key` stands for."""
    return str(uuid5(_NAMESPACE, key))


def _platform(message_id: str) -> str:
    return next((name for prefix, name in _PLATFORMS if message_id.startswith(prefix)), "anthropic")


def _word(value: object) -> str:
    return value[:100] if isinstance(value, str) and value.isprintable() else ""
