"""The table of providers' answers in `answers/`: one file each, what it must count and cost above, the answer below.

A file is TOML (the quirk it stands for, what is expected of it, the prices, the cost worked out by hand), a line of
three dashes, and the answer's body as it is, but that `line_ends = "crlf"` and `coding` say how it is on the wire.
"""

import ast
import gzip
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import brotli

from data.config import PriceOverride
from data.model import Endpoint, LedgerRecord, Outcome, Protocol, RequestStart, Tokens
from data.pricing import PriceBook
from proxy.record import Ending, ledger_record
from proxy.simulated.packing import zstd
from proxy.tee import Tee
from proxy.usage import BatchResult, Usage, parser_for, with_estimated_input

FOLDER = Path(__file__).parent / "answers"
PROTOCOLS = {
    "anthropic": Protocol.ANTHROPIC,
    "batches": Protocol.ANTHROPIC,
    "gemini": Protocol.GEMINI,
    "embeddings": Protocol.OPENAI,
    "openai_batches": Protocol.OPENAI,
    "openai_chat": Protocol.OPENAI,
    "openai_responses": Protocol.OPENAI,
}
#: Where the results of a batch are fetched.
FETCHED = {"batches": Endpoint.BATCHES, "openai_batches": Endpoint.FILES}
PACKERS = {"": bytes, "gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}


@dataclass(frozen=True)
class Answer:
    """One file of the table."""

    name: str
    head: dict[str, Any]
    body: bytes

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.head["endpoint"])

    @property
    def streams(self) -> bool:
        return bool(self.head.get("stream"))

    @property
    def expected(self) -> dict[str, Any]:
        return dict(self.head["expected"])

    @property
    def tokens(self) -> Tokens:
        return Tokens(**self.expected["tokens"])

    @cached_property
    def on_the_wire(self) -> bytes:
        return PACKERS[self.head.get("coding", "")](self.body)

    def read(self, *pieces: bytes) -> Usage:
        """What the proxy makes of the answer, coming in these pieces."""
        found: list[BatchResult] = []
        parser = parser_for(
            FETCHED.get(self.name.partition("/")[0], self.endpoint),
            stream=self.streams,
            status=self.head.get("status", 200),
            tier=self.head.get("tier", ""),
            results=found.append if self.endpoint is Endpoint.BATCH_RESULT else None,
        )
        tee = Tee(parser, self.head.get("coding", ""), streams=self.streams)
        for piece in pieces:
            tee.feed(piece)
            while tee.pending:
                tee.feed(b"")
        usage = tee.finish()
        if found:
            (result,) = found
            usage = result.usage
        return with_estimated_input(usage, self.head.get("estimated_input", 0))

    def row(self, usage: Usage) -> LedgerRecord:
        """The ledger's row of it."""
        protocol = PROTOCOLS[self.name.partition("/")[0]]
        prices = self.head["prices"]
        at = datetime.fromisoformat(prices.get("at", "2026-11-01")).replace(hour=12, tzinfo=UTC)
        start = RequestStart(
            id="i",
            request_id="i",
            started_at=int(at.timestamp() * 1e6),
            protocol=protocol,
            endpoint=self.endpoint,
            provider=prices.get("list", "somebody"),
            model_requested="asked",
            stream=self.streams,
        )
        failed = self.head.get("status", 200) >= 400 or (self.endpoint is Endpoint.BATCH_RESULT and usage.error_class)
        ending = Ending(Outcome.OK, 200, start.started_at, 1.0, billed=not failed)
        return ledger_record(start, ending, usage, self._book().price)

    def _book(self) -> PriceBook:
        prices = self.head["prices"]
        if "list" in prices:
            return PriceBook()
        own = {name: Decimal(value) for name, value in prices.items()}
        return PriceBook((PriceOverride("*", **own),))


def load(path: Path) -> Answer:
    head, _, body = path.read_bytes().partition(b"\n---\n")
    said = tomllib.loads(head.decode())
    if said.get("line_ends") == "crlf":
        body = body.replace(b"\n", b"\r\n")
    return Answer(f"{path.parent.name}/{path.stem}", said, body)


def worked_out(text: str) -> Decimal:
    """The value of a plain sum, exactly: numbers, + - * / and brackets."""

    def value(node: ast.AST) -> Decimal:
        match node:
            case ast.Constant():
                return Decimal((ast.get_source_segment(text, node) or "").replace("_", ""))
            case ast.BinOp(left, ast.Add(), right):
                return value(left) + value(right)
            case ast.BinOp(left, ast.Sub(), right):
                return value(left) - value(right)
            case ast.BinOp(left, ast.Mult(), right):
                return value(left) * value(right)
            case ast.BinOp(left, ast.Div(), right):
                return value(left) / value(right)
        raise ValueError(f"not a plain sum: {text}")

    return value(ast.parse(text, mode="eval").body)


ANSWERS = [load(path) for path in sorted(FOLDER.glob("*/*.txt"))]
