"""OpenAI's batches: made of a file, looked at until they have ended, and what came of them is two files. In memory."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from data.model import Endpoint, Tokens
from proxy.simulated.batches import fates
from proxy.simulated.dialect import BadAsk, NotThere
from proxy.simulated.exchange import Exchange
from proxy.simulated.files import Files, StoredFile
from proxy.simulated.openai_batch_calls import ENDPOINTS, Answered, answered, read_input, refused
from proxy.simulated.provider import Call, Provider, Work, noted
from proxy.simulated.steering import Steering

_DAY_S: Final = 24 * 3600
_UNDONE: Final = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "canceled": ("batch_cancelled", "This request was not executed since its batch was cancelled."),
}


@dataclass(slots=True)
class Batch:
    """One batch. `fault`: what is wrong with its input, seen at the first look; `output`, `errors`: '' or a file."""

    id: str
    call: Call
    steered: Steering
    endpoint: str
    input: str
    requests: list[dict[str, Any]]
    fault: str
    polls: int
    ended: bool = False
    canceled: bool = False
    kinds: list[str] = field(default_factory=list)
    output: str = ""
    errors: str = ""

    @property
    def status(self) -> str:
        """As OpenAI calls it."""
        if not self.ended:
            return "cancelling" if self.canceled else "validating" if self.fault else "in_progress"
        if self.fault:
            return "failed"
        return "cancelled" if self.canceled else "expired" if "expired" in self.kinds else "completed"


class OpenAIBatches:
    """All batches of one provider; what they cost is in its books when they end."""

    def __init__(self, provider: Provider, files: Files) -> None:
        self._provider = provider
        self._files = files
        self._all: dict[str, Batch] = {}

    def create(self, call: Call, steered: Steering) -> Work:
        """POST /v1/batches. Raises BadAsk."""
        body = call.json()
        endpoint, number = str(body.get("endpoint")), body.get("input_file_id")
        if endpoint not in ENDPOINTS:
            raise BadAsk(f"Invalid value for 'endpoint': choose one of {', '.join(ENDPOINTS)}.")
        file = self._files.find(str(number))
        if file is None or file.purpose != "batch":
            raise BadAsk(f"Invalid 'input_file_id': there is no file {number!r} with the purpose 'batch'.")
        requests, fault = read_input(file.content, endpoint)
        name, polls = f"batch_{call.serial[:24]}", steered.count("polls") or 0
        self._all[name] = Batch(name, call, steered, endpoint, file.id, requests, fault, polls)
        return Work(_document(self._all[name]))

    def listed(self) -> Work:
        """GET /v1/batches, the newest first."""
        data = [_document(batch) for batch in reversed(self._all.values())]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return Work({"object": "list", "data": data, "has_more": False, **ends})

    def looked_at(self, number: str) -> Work:
        """GET /v1/batches/{id}: one look nearer to its end. Raises NotThere."""
        batch = self._of(number)
        if not batch.ended and (batch.fault or batch.canceled or batch.polls <= 0):
            self._end(batch)
        batch.polls -= 1
        return Work(_document(batch))

    def cancel(self, number: str) -> Work:
        """POST /v1/batches/{id}/cancel. Raises NotThere, and BadAsk once it has ended."""
        batch = self._of(number)
        if batch.ended:
            raise BadAsk(f"Cannot cancel a batch with status '{batch.status}'.")
        batch.canceled = True
        return Work(_document(batch))

    def _of(self, number: str) -> Batch:
        if number not in self._all:
            raise NotThere(f"No batch found with id '{number}'.")
        return self._all[number]

    def _end(self, batch: Batch) -> None:
        output, errors = list[bytes](), list[bytes]()
        for index, kind in enumerate(fates(len(batch.requests), batch.steered, canceled=batch.canceled)):
            line, came = self._result(batch, index, kind)
            good = came is not None and came.status == 200
            (output if good else errors).append(line)
            batch.kinds.append(kind if good or came is None else "errored")
        batch.ended = True
        batch.output, batch.errors = self._file(batch, "output", output), self._file(batch, "error", errors)

    def _file(self, batch: Batch, what: str, lines: list[bytes]) -> str:
        if not lines:
            return ""
        number = f"file-{self._provider.serial(len(lines), f'{batch.id}{what}'.encode())[:24]}"
        name, kind = f"{batch.id}_{what}.jsonl", "application/octet-stream"
        return self._files.keep(StoredFile(number, name, kind, "batch_output", b"".join(lines), batch.call.at)).id

    def _result(self, batch: Batch, index: int, kind: str) -> tuple[bytes, Answered | None]:
        """One request's line, and what came of it; None where it was never asked."""
        request = batch.requests[index]
        raw = orjson.dumps(request["body"])
        serial = self._provider.serial(index, raw + batch.id.encode())
        call = replace(batch.call, endpoint=Endpoint.BATCH_RESULT, raw=raw, serial=serial)
        line = {"id": f"batch_req_{serial}", "custom_id": request["custom_id"], "response": None, "error": None}
        came: Answered | None = None
        if kind in _UNDONE:
            line["error"] = dict(zip(("code", "message"), _UNDONE[kind], strict=True))
        else:
            refuses = kind == "errored"
            came = refused(call) if refuses else answered(self._provider, call, batch.steered, batch.endpoint)
            line["response"] = {"status_code": came.status, "request_id": call.request_id, "body": came.body}
        self._note(batch, call, request["custom_id"], came)
        return orjson.dumps(line) + b"\n", came

    def _note(self, batch: Batch, call: Call, custom_id: str, came: Answered | None) -> None:
        status, tokens = (came.status, came.tokens) if came is not None else (0, Tokens())
        served = noted(call, Exchange(status, {}, ()), model=str(call.json().get("model")), tokens=tokens)
        self._provider.books.add(replace(served, complete=True, batch=batch.id, custom_id=custom_id))


def _document(batch: Batch) -> dict[str, Any]:
    at, status = int(batch.call.at), batch.status
    done = batch.kinds.count("succeeded")
    errors = {"object": "list", "data": [{"code": "invalid_request", "message": batch.fault}]}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": errors if status == "failed" else None,
        "input_file_id": batch.input,
        "completion_window": "24h",
        "status": status,
        "output_file_id": batch.output or None,
        "error_file_id": batch.errors or None,
        "created_at": at,
        "expires_at": at + _DAY_S,
        **{f"{ended}_at": at if status == ended else None for ended in ("completed", "failed", "expired", "cancelled")},
        "request_counts": {"total": len(batch.requests), "completed": done, "failed": len(batch.kinds) - done},
        "metadata": batch.call.json().get("metadata"),
    }
