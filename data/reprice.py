"""Gives the ledger's past the prices of today: rows that nobody had a price for, or all of them.

A row's counts, tier, speed and model are stored, so its cost can be worked out again, at the price of the day it ended.
A cost that no list made (of free calls, of refused ones) stays, and so does one for whose model no price is known now.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import orjson
import uuid_utils

from data.corrections import correcting
from data.model import CostStatus, Tokens
from data.pricing import PriceBook
from data.queries.audit import auditing
from data.rates import NO_TOOL_PRICE
from data.store import Statement, Store

#: Beyond this no date can be told, and no price.
_END = datetime(9999, 1, 1, tzinfo=UTC)
#: A read goes on while its rows are corrected: one over all of the ledger would hold old versions of everything.
_READ_AT_ONCE = timedelta(days=7)
#: Rows that are corrected in one transaction, with the rollups.
BATCH_ROWS = 5_000
_DEADLINE_S = 24 * 3600.0
_ALL_ROWS = 10**12
_NOTHING = Decimal(0)

_COLUMNS = (
    "id, ended_at, provider, protocol, model, service_tier, speed, inference_geo, "
    "cost_usd, cost_status, cost_note, price_source, uncached_input_tokens, "
    "cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, tool_units"
)
_WHERE = "FROM requests WHERE ended_at >= ? AND ended_at < ? AND model GLOB ?"
_COUNTED = (
    "(uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens > 0 "
    "OR output_tokens > 0 OR tool_units > 0)"
)
_UNPRICED = f"cost_status = '{CostStatus.UNPRICED}'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows get a price: of models that match a glob, ended at or after `since` (aware).

    `everything`: those with a price too, else only those without.
    """

    everything: bool = False
    since: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    model: str = "*"


@dataclass(slots=True)
class ModelSums:
    """What changes for one model: rows, and the sums of their costs, US dollars; `unknown` rows still have no price."""

    rows: int = 0
    old_usd: Decimal = _NOTHING
    new_usd: Decimal = _NOTHING
    unknown: int = 0


@dataclass(slots=True)
class Repriced:
    """How it went: how many rows were looked at, and the sums by model."""

    examined: int = 0
    models: dict[str, ModelSums] = field(default_factory=lambda: defaultdict(ModelSums))


def reprice(
    store: Store,
    prices: PriceBook,
    wanted: Wanted,
    *,
    protocols: Mapping[str, str],
    now: datetime,
    actor: str,
    dry_run: bool = False,
    progress: Callable[[Repriced], object] = lambda _: None,
) -> Repriced:
    """Correct the wanted rows and the rollups, some thousand rows a transaction, each with a line in the audit log.

    `protocols`: the protocol that each configured provider speaks. Rows stay consistent with the rollups throughout,
    and what a broken run has left is done by the next. Raises what the store raises; `ConflictError` where another
    run corrects the same rows.
    """
    result = Repriced()
    found = _changes(store, prices, wanted, protocols, result)
    while changes := list(islice(found, BATCH_ROWS)):
        if not dry_run:
            store.transact([*correcting(changes), _audit(changes, now, actor)])
        progress(result)
    return result


def _changes(
    store: Store, prices: PriceBook, wanted: Wanted, protocols: Mapping[str, str], result: Repriced
) -> Iterator[dict[str, Any]]:
    for row in _rows(store, wanted):
        result.examined += 1
        sums = result.models[row["model"]]
        changed = repriced(row, prices, protocols)
        if changed is None:
            sums.unknown += 1
        elif changed:
            sums.rows += 1
            sums.old_usd += row["cost_usd"] or _NOTHING
            sums.new_usd += changed["cost_usd"]
            yield changed


def _rows(store: Store, wanted: Wanted) -> Iterator[dict[str, Any]]:
    chosen = f"({_UNPRICED} OR price_source <> '')" if wanted.everything else _UNPRICED
    where = f"{_WHERE} AND {_COUNTED} AND {chosen}"
    start, last = store.sql(f"SELECT min(ended_at), max(ended_at) {where}", [wanted.since, _END, wanted.model]).row(0)
    while start is not None and start <= last:
        end = min(start + _READ_AT_ONCE, _END)
        params = [start, end, wanted.model]
        for batch in store.batches(f"SELECT {_COLUMNS} {where}", params, deadline_s=_DEADLINE_S, max_rows=_ALL_ROWS):
            yield from batch.to_pylist()
        start = end


def repriced(row: Mapping[str, Any], prices: PriceBook, protocols: Mapping[str, str]) -> dict[str, Any] | None:
    """What to correct of a row (the columns read above); nothing where its cost stays, None where no price is known.

    A provider's own protocol decides the price where it is configured, not the one its client spoke.
    """
    priced = prices.price(
        provider=row["provider"],
        protocol=protocols.get(row["provider"], row["protocol"]),
        model=row["model"],
        tokens=tokens_of(row),
        at=row["ended_at"],
        service_tier=row["service_tier"],
        speed=row["speed"],
        inference_geo=row["inference_geo"],
    )
    if priced.cost_usd is None:
        return None
    notes = [note for note in row["cost_note"].split("; ") if note and not note.startswith(NO_TOOL_PRICE)]
    guessed = bool(notes) or (row["cost_status"] == CostStatus.ESTIMATED and not row["cost_note"])
    status = CostStatus.ESTIMATED if guessed else priced.status
    if (priced.cost_usd, status) == (row["cost_usd"], row["cost_status"]):
        return {}
    return {
        "id": row["id"],
        "ended_at": row["ended_at"],
        "was_cost_usd": row["cost_usd"],
        "was_cost_status": row["cost_status"],
        "cost_usd": priced.cost_usd,
        "cost_status": str(status),
        "cost_note": "; ".join([*notes, priced.note] if priced.note else notes),
        "price_source": priced.source,
    }


def tokens_of(row: Mapping[str, Any]) -> Tokens:
    """The counts of a row of `requests`."""
    return Tokens(
        uncached_input=row["uncached_input_tokens"],
        cache_read=row["cache_read_tokens"],
        cache_write_5m=row["cache_write_5m_tokens"],
        cache_write_1h=row["cache_write_1h_tokens"],
        output=row["output_tokens"],
        reasoning=row["reasoning_tokens"],
        tool_units=row["tool_units"],
    )


def _audit(changes: Sequence[Mapping[str, Any]], now: datetime, actor: str) -> Statement:
    detail = {
        "rows": len(changes),
        "old_usd": str(sum((c["was_cost_usd"] or _NOTHING for c in changes), _NOTHING)),
        "new_usd": str(sum((c["cost_usd"] for c in changes), _NOTHING)),
        "price_sources": sorted({c["price_source"] for c in changes}),
    }
    text = orjson.dumps(detail).decode()
    entry = str(uuid_utils.uuid7())
    return auditing(entry, at=now, actor=actor, action="repriced", kind="requests", object_id="", detail=text)
