"""What batches cost: a row for each result, written down when it is first fetched.

Anthropic gives a batch's results under its name; OpenAI leaves them in a file, whose content says nothing of the batch.
"""

import time
import uuid
from collections.abc import Callable
from typing import Final

import msgspec

from data.counters.rows import BatchKey
from data.model import Endpoint, LedgerRecord, Outcome, Protocol, RequestStart
from proxy.budget.batch_holds import BATCH_TAG
from proxy.endpoints import Asked
from proxy.record import Ending, Pricer, ledger_record
from proxy.request import clean
from proxy.secrets import scrubbed
from proxy.seen_results import SeenResults
from proxy.usage import BatchResult
from proxy.usage.batch_results import SUCCEEDED

#: The space of the ids below; any constant will do, as long as it stays.
_SPACE: Final = uuid.UUID("6c1c3c2e-6d0e-5c8b-9a3f-0f4f6a2f7a10")
_MAX_TAG: Final = 200
#: Whose a batch is, and the model where all of its calls ask the same.
_ACCOUNT: Final = ("key", "user", "team", "project", "session", "agent", "tags", "model_requested")


class Origin(msgspec.Struct, frozen=True):
    """Where results are fetched from: a batch, or a file. `key` is nobody else's; a row's `tag` has its name."""

    key: str
    tag: str
    name: str


def origin_of(asked: Asked, provider: str) -> Origin | None:
    """Return where the results are from that may be in the answer; None where there are none."""
    if asked.batch:
        return Origin(asked.batch, BATCH_TAG, asked.batch)
    if asked.file and asked.protocol is Protocol.OPENAI:
        return Origin(f"{provider}\n{asked.file}", "file_id", asked.file)
    return None


class Batches:
    """Writes results down, each once, however often it is fetched."""

    def __init__(
        self,
        seen: SeenResults,
        price: Callable[[], Pricer],
        write: Callable[[LedgerRecord], object],
        made_by: Callable[[BatchKey], RequestStart | None],
    ) -> None:
        """`price` gives what prices a result when it comes.

        `write` takes a row for the ledger and for everything that counts along; `made_by` gives the call that made a
        batch, where budgets hold something for it.
        """
        self._seen = seen
        self._price = price
        self._write = write
        self._made_by = made_by

    def reader(
        self, fetch: RequestStart, origin: Origin, secrets: tuple[str, ...] = ()
    ) -> Callable[[BatchResult], None]:
        """Return what takes the results of `origin` that `fetch` asks for."""
        fetch = self._on_account(fetch, origin)

        def take(result: BatchResult) -> None:
            number = result_id(origin.key, result.custom_id)
            if number in self._seen:
                return
            now_us = time.time_ns() // 1000
            start, ending = result_account(fetch, origin, result, now_us)
            row = ledger_record(start, ending, result.usage, self._price())
            # in this order: a result that was noted first and never written would be lost
            self._write(scrubbed(row, secrets))
            self._seen.add(number, now_us / 1e6)

        return take

    def _on_account(self, fetch: RequestStart, origin: Origin) -> RequestStart:
        """What budgets hold for a batch is held on the account of whoever made it, and its results count there."""
        made = self._made_by(BatchKey(fetch.provider, origin.name)) if origin.tag == BATCH_TAG else None
        if made is None:
            return fetch
        return msgspec.structs.replace(fetch, **{name: getattr(made, name) for name in _ACCOUNT})


def result_id(key: str, custom_id: str) -> str:
    """Return the row's id: the same for the same result, whoever fetches it. `key` is its origin's."""
    return str(uuid.uuid5(_SPACE, f"{key}\n{custom_id}"))


def result_account(
    fetch: RequestStart, origin: Origin, result: BatchResult, now_us: int
) -> tuple[RequestStart, Ending]:
    """Return what the ledger says of one result, on the account of whoever fetches it; `now_us` is UTC microseconds."""
    number = result_id(origin.key, result.custom_id)
    succeeded = result.kind == SUCCEEDED
    start = msgspec.structs.replace(
        fetch,
        id=number,
        request_id=number,
        endpoint=Endpoint.BATCH_RESULT,
        stream=False,
        request_bytes=0,
        estimated_input_tokens=0,
        reserved_usd=None,
        tags={
            **fetch.tags,
            origin.tag: clean(origin.name, _MAX_TAG),
            "custom_id": clean(result.custom_id, _MAX_TAG),
        },
    )
    ending = Ending(
        outcome=Outcome.OK if succeeded else Outcome.ERROR,
        status=200 if succeeded else result.status,
        ended_at=max(now_us, fetch.started_at),
        duration_ms=0.0,  # how long it took is told nowhere
        response_bytes=result.size,
        provider_request_id=result.request_id or result.usage.response_id,
        billed=succeeded,
    )
    return start, ending
