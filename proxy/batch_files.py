"""Which batch an output file of OpenAI's is of: the file says nothing of it, the batch names its files."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from data.model import Endpoint, Protocol, RequestStart
from proxy.batches import Origin
from proxy.endpoints import Asked
from proxy.request import clean
from proxy.seen_results import SeenResults

_MAX_NAME: Final = 200
_MOST: Final = 1000


class _Batch(msgspec.Struct):
    id: str
    output_file_id: str | None = None
    error_file_id: str | None = None


class _Answer(msgspec.Struct):
    """A batch, or a page of them."""

    data: list[msgspec.Raw] | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_BATCH: Final = msgspec.json.Decoder(_Batch)


class BatchFiles:
    """Remembers what batches say of their files, for as long as results are remembered, also over a restart."""

    def __init__(self, seen: SeenResults) -> None:
        self._seen = seen

    def reader(self, asked: Asked, provider: str) -> Callable[[bytes], None] | None:
        """Return what takes an answer that may tell of batches; None for any other call."""
        if asked.endpoint is not Endpoint.BATCHES or asked.protocol is not Protocol.OPENAI:
            return None

        def take(body: bytes) -> None:
            for file, batch in files_in(body):
                self._seen.tie(_key(provider, file), batch, time.time())

        return take

    def tied(self, fetch: RequestStart, origin: Origin) -> RequestStart:
        """Return the fetch of `origin`'s results with the tag `batch_id`, where that is known of a file."""
        batch = self._seen.batch_of(origin.key)
        return msgspec.structs.replace(fetch, tags={**fetch.tags, "batch_id": batch}) if batch else fetch


def files_in(body: bytes) -> Iterator[tuple[str, str]]:
    """Give the files that an answer names with the batches that they are of; nothing where it is no such answer."""
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    for raw in (body,) if answer.data is None else answer.data[:_MOST]:
        try:
            batch = _BATCH.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        for file in (batch.output_file_id, batch.error_file_id):
            if file and batch.id:
                yield clean(file, _MAX_NAME), clean(batch.id, _MAX_NAME)


def _key(provider: str, file: str) -> str:
    return f"{provider}\n{file}"
