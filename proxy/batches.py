"""What Anthropic's batches cost: a row for each result, written down when it is first fetched."""

import time
import uuid
from collections.abc import Callable
from typing import Final

import msgspec

from data.model import Endpoint, LedgerRecord, Outcome, RequestStart
from proxy.record import Ending, Pricer, ledger_record
from proxy.request import clean
from proxy.secrets import scrubbed
from proxy.seen_results import SeenResults
from proxy.usage import BatchResult
from proxy.usage.batch_results import SUCCEEDED

#: The space of the ids below; any constant will do, as long as it stays.
_SPACE: Final = uuid.UUID("6c1c3c2e-6d0e-5c8b-9a3f-0f4f6a2f7a10")
_MAX_TAG: Final = 200


class Batches:
    """Writes results down, each once, however often it is fetched."""

    def __init__(self, seen: SeenResults, price: Pricer, write: Callable[[LedgerRecord], object]) -> None:
        """`write` takes a row for the ledger and for everything that counts along."""
        self._seen = seen
        self._price = price
        self._write = write

    def reader(self, fetch: RequestStart, batch: str, secrets: tuple[str, ...] = ()) -> Callable[[BatchResult], None]:
        """Return what takes the results of `batch` that `fetch` asks for."""

        def take(result: BatchResult) -> None:
            number = result_id(batch, result.custom_id)
            if number in self._seen:
                return
            now_us = time.time_ns() // 1000
            start, ending = result_account(fetch, batch, result, now_us)
            row = ledger_record(start, ending, result.usage, self._price)
            # in this order: a result that was noted first and never written would be lost
            self._write(scrubbed(row, secrets))
            self._seen.add(number, now_us / 1e6)

        return take


def result_id(batch: str, custom_id: str) -> str:
    """Return the row's id: the same for the same result, whoever fetches it."""
    return str(uuid.uuid5(_SPACE, f"{batch}\n{custom_id}"))


def result_account(fetch: RequestStart, batch: str, result: BatchResult, now_us: int) -> tuple[RequestStart, Ending]:
    """Return what the ledger says of one result, on the account of whoever fetches it; `now_us` is UTC microseconds."""
    number = result_id(batch, result.custom_id)
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
        tags={**fetch.tags, "batch_id": clean(batch, _MAX_TAG), "custom_id": clean(result.custom_id, _MAX_TAG)},
    )
    ending = Ending(
        outcome=Outcome.OK if succeeded else Outcome.ERROR,
        status=200 if succeeded else 0,
        ended_at=max(now_us, fetch.started_at),
        duration_ms=0.0,  # how long it took is told nowhere
        response_bytes=result.size,
        provider_request_id=result.usage.response_id,
        billed=succeeded,
    )
    return start, ending
