"""The store as a piece of work uses it that must come further: each answer is noted as a step of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa
from sqlalchemy import Executable

from data.store import Statement, Store, StoreStatus

T = TypeVar("T")


class NotedStore:
    """A store that calls `note` after each answer; an error is none. Its calls are those of `data.store.Store`."""

    def __init__(self, store: Store, note: Callable[[], None]) -> None:
        self._store, self._note = store, note

    def frame(self, question: Executable, **options: Any) -> pl.DataFrame:
        """The answer to a SELECT."""
        return self._noted(self._store.frame(question, **options))

    def sql(self, text: str, params: Sequence[object] = (), **options: Any) -> pl.DataFrame:
        """The answer to a SELECT in text."""
        return self._noted(self._store.sql(text, params, **options))

    def rows(self, sql: str, params: Sequence[object] = (), **options: Any) -> list[dict[str, Any]]:
        """The answer to a SELECT in text, a mapping a row."""
        return self._noted(self._store.rows(sql, params, **options))

    def batches(
        self, question: Executable | str, params: Sequence[object] = (), **options: Any
    ) -> Iterator[pa.RecordBatch]:
        """The answer to a SELECT as it arrives."""
        for batch in self._store.batches(question, params, **options):
            yield self._noted(batch)

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
        """Store a batch exactly once."""
        return self._noted(self._store.put(rows, spool_id=spool_id, first=first, last=last))

    def transact(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements, all or none."""
        return self._noted(self._store.transact(statements))

    def ping(self) -> StoreStatus:
        """How the store is."""
        return self._noted(self._store.ping())

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _noted(self, answer: T) -> T:
        self._note()
        return answer
