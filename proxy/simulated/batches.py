"""Anthropic's batches: made, looked at until they have ended, and fetched as lines. In memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from data.model import Endpoint, Tokens
from proxy.simulated.anthropic import AnthropicMessages
from proxy.simulated.dialect import BadAsk, NotThere, listed
from proxy.simulated.exchange import Exchange
from proxy.simulated.provider import Call, Provider, Work, ask_of, noted
from proxy.simulated.served import Served
from proxy.simulated.steering import Steering

LINES = "application/x-jsonl"
_KINDS = ("succeeded", "errored", "expired", "canceled")
_DIALECT = AnthropicMessages()


@dataclass(slots=True)
class Batch:
    """One batch. `results` are its lines, once it has ended."""

    id: str
    call: Call
    steered: Steering
    requests: list[dict[str, Any]]
    polls: int
    canceled: bool = False
    kinds: list[str] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether every request has its result."""
        return bool(self.results)


class Batches:
    """All batches of one provider; what they cost is in its books when they end."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._all: dict[str, Batch] = {}

    def create(self, call: Call, steered: Steering, origin: str) -> Work:
        """POST /v1/messages/batches. Raises BadAsk."""
        requests = listed(call.json(), "requests")
        names = [each.get("custom_id") for each in requests if isinstance(each, dict)]
        if not requests or len(names) < len(requests) or len(set(map(str, names))) < len(names) or not all(names):
            raise BadAsk("requests: each needs a custom_id of its own")
        for each in requests:
            ask_of(_DIALECT, each.get("params") or {})
        number = f"msgbatch_01{call.serial[:22]}"
        self._all[number] = Batch(number, call, steered, requests, steered.count("polls") or 0)
        return Work(_document(self._all[number], origin))

    def listed(self, origin: str) -> Work:
        """GET /v1/messages/batches, the newest first."""
        data = [_document(batch, origin) for batch in reversed(self._all.values())]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return Work({"data": data, "has_more": False, **ends})

    def looked_at(self, number: str, origin: str) -> Work:
        """GET /v1/messages/batches/{id}: one look nearer to its end. Raises NotThere."""
        batch = self._of(number)
        if not batch.ended and (batch.canceled or batch.polls <= 0):
            self._end(batch)
        batch.polls -= 1
        return Work(_document(batch, origin))

    def cancel(self, number: str, origin: str) -> Work:
        """POST /v1/messages/batches/{id}/cancel. Raises NotThere."""
        batch = self._of(number)
        batch.canceled = batch.canceled or not batch.ended
        return Work(_document(batch, origin))

    def delete(self, number: str) -> Work:
        """DELETE /v1/messages/batches/{id}. Raises NotThere, and BadAsk while it has not ended."""
        if not self._of(number).ended:
            raise BadAsk("A batch can be deleted once it has ended.")
        del self._all[number]
        return Work({"id": number, "type": "message_batch_deleted"})

    def results(self, number: str) -> Work:
        """GET /v1/messages/batches/{id}/results. Raises NotThere, also before it has ended."""
        batch = self._of(number)
        if not batch.ended:
            raise NotThere("The batch has no results yet.")
        return Work(b"".join(batch.results), content_type=LINES, by_line=True)

    def _of(self, number: str) -> Batch:
        if number not in self._all:
            raise NotThere(f"There is no batch {number}.")
        return self._all[number]

    def _end(self, batch: Batch) -> None:
        batch.kinds = list(fates(len(batch.requests), batch.steered, canceled=batch.canceled))
        for index, (request, kind) in enumerate(zip(batch.requests, batch.kinds, strict=True)):
            line, served = self._result(batch, index, request, kind)
            batch.results.append(line)
            self._provider.books.add(served)

    def _result(self, batch: Batch, index: int, request: dict[str, Any], kind: str) -> tuple[bytes, Served]:
        raw = orjson.dumps(request)
        call = replace(batch.call, endpoint=Endpoint.BATCHES, raw=raw, serial=self._provider.serial(index, raw))
        result: dict[str, Any] = {"type": kind}
        tokens, name, model = Tokens(), f"{batch.id}:{index}", str(request["params"].get("model"))
        if kind == "succeeded":
            ask = replace(ask_of(_DIALECT, request["params"]), stream=False, tier="batch")
            answer = self._provider.composed(call, ask, batch.steered)
            result["message"] = message = orjson.loads(_DIALECT.whole(answer))
            tokens, name = answer.tokens, message["id"]
        elif kind == "errored":
            result["error"] = orjson.loads(_DIALECT.error(400, ""))
        status = {"succeeded": 200, "errored": 400}.get(kind, 0)
        served = noted(call, Exchange(status, {}, ()), model=model, tokens=tokens)
        line = orjson.dumps({"custom_id": request["custom_id"], "result": result}) + b"\n"
        return line, replace(
            served,
            id=name,
            endpoint=Endpoint.BATCH_RESULT,
            complete=True,
            batch=batch.id,
            custom_id=request["custom_id"],
        )


def fates(requests: int, steered: Steering, *, canceled: bool) -> Iterator[str]:
    """How each request of a batch ends: the last ones as it was steered."""
    errored, expired = steered.count("errored") or 0, steered.count("expired") or 0
    for left in range(requests, 0, -1):
        if canceled:
            yield "canceled"
        else:
            yield "errored" if left <= errored else "expired" if left <= errored + expired else "succeeded"


def _document(batch: Batch, origin: str) -> dict[str, Any]:
    counts = {kind: batch.kinds.count(kind) for kind in _KINDS}
    status = "ended" if batch.ended else "canceling" if batch.canceled else "in_progress"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {"processing": 0 if batch.ended else len(batch.requests), **counts},
        "created_at": _time(batch.call.at),
        "ended_at": _time(batch.call.at) if batch.ended else None,
        "expires_at": _time(batch.call.at, days=1),
        "archived_at": None,
        "cancel_initiated_at": _time(batch.call.at) if batch.canceled else None,
        "results_url": f"{origin}/v1/messages/batches/{batch.id}/results" if batch.ended else None,
    }


def _time(at: float, *, days: int = 0) -> str:
    return (datetime.fromtimestamp(at, UTC) + timedelta(days=days)).isoformat()
