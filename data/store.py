"""The seam between the programs and wherever the data lives: what a store can do, and how to reach it."""

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl
import pyarrow as pa
from sqlalchemy import Executable

from data.client import FlightStore
from data.config import Config
from data.connection import DEADLINE_S, MAX_ROWS
from data.errors import StoreUnavailable
from data.protocol import StoreStatus
from data.statement import Statement, compiled
from data.tokens import Role

__all__ = ["Role", "Statement", "Store", "StoreStatus", "compiled", "connect", "ensure_running"]

_START_S = 30.0
_ALREADY_SERVED = 3


class Store(Protocol):
    """What every program asks of the data. Thread-safe; `data/client.py` documents each call and its errors."""

    def frame(self, question: Executable, *, deadline_s: float = DEADLINE_S, max_rows: int = MAX_ROWS) -> pl.DataFrame:
        """The answer to a SELECT."""

    def sql(
        self, text: str, params: Sequence[object] = (), *, deadline_s: float = DEADLINE_S, max_rows: int = MAX_ROWS
    ) -> pl.DataFrame:
        """The answer to a SELECT in text."""

    def rows(self, sql: str, params: Sequence[object] = (), *, max_rows: int = MAX_ROWS) -> list[dict[str, Any]]:
        """The answer to a SELECT in text, a mapping a row."""

    def batches(
        self,
        question: Executable | str,
        params: Sequence[object] = (),
        *,
        deadline_s: float = DEADLINE_S,
        max_rows: int = MAX_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """The answer to a SELECT as it arrives."""

    def put(self, rows: pa.Table, *, spool_id: str, first: int, last: int) -> int:
        """Store a batch exactly once; the offset now stored."""

    def transact(self, statements: Sequence[Statement]) -> list[int]:
        """Run statements, all or none; the affected rows of each."""

    def ping(self) -> StoreStatus:
        """How the store is."""

    def close(self) -> None:
        """Let go of the store."""


def connect(config: Config, role: Role = Role.WRITER) -> FlightStore:
    """A connection to the running store, in a role. Never starts one: raises `StoreUnavailable` within two seconds."""
    return FlightStore.open(config, role)


def ensure_running(config: Config) -> None:
    """Start the store, detached, unless one runs; whoever asks at the same time gets the same one.

    Raises `StoreUnavailable` with the store's own words when it does not come up.
    """
    if _answers(config):
        return
    output = _output_path(config)
    with (output.parent / "start.lock").open("w") as turn:
        # one at a time: a second store that comes up late could outlive the first
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not _answers(config):
            _start_and_wait(config, output)


def _start_and_wait(config: Config, output: Path) -> None:
    process = _start(config, output)
    # reaps the process should it end before this one does
    threading.Thread(target=process.wait, name="store process", daemon=True).start()
    until = time.monotonic() + _START_S
    while not _answers(config):
        if process.returncode not in (None, 0, _ALREADY_SERVED) or time.monotonic() > until:
            raise StoreUnavailable(f"the store did not start: {output.read_text(encoding='utf-8').strip()[-1000:]}")
        time.sleep(0.05)


def _answers(config: Config) -> bool:
    try:
        connect(config).close()
    except StoreUnavailable:
        return False
    return True


def _output_path(config: Config) -> Path:
    folder = config.home / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / "store.out"


def _start(config: Config, output: Path) -> subprocess.Popen[bytes]:
    settings = msgspec.json.encode(config.store).decode()
    command = [sys.executable, "-m", "data", "--home", str(config.home), "--settings", settings]
    with output.open("ab") as file:
        return subprocess.Popen(  # noqa: S603 - our own program
            command,
            cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
