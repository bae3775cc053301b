"""The providers' books against the ledger, row by row."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.e2e.callers import Told
from tests.e2e.pieces import INPUT_USD, OUTPUT_USD, Pieces
from tests.e2e.stack import T, until

Entry = dict[str, Any]
_SHOWN = 15
_NOTHING = Decimal(0)
#: What both books say of a request, by the provider's name for it and by the ledger's.
_COUNTS = {
    "uncached_input": "uncached_input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}


def assert_books_agree(pieces: Pieces, told: Iterable[Told] = ()) -> list[Entry]:
    """Fail unless every request served is one row, and the budget has spent what the rows say; the rows.

    It is called when no more calls are made, and waits until the store has everything. A provider notes a request a
    moment after its connection has ended, so it is asked again for a while.
    """
    pieces.wait_until_shipped()
    rows, calls, found = pieces.rows(), list(told), list[str]()

    def agree() -> bool:
        found[:] = differences(pieces.served(), rows, calls)
        return not found

    _wait(agree, found)
    _assert_budget(pieces, rows)
    return rows


def differences(served: list[Entry], rows: list[Entry], told: Iterable[Told] = ()) -> list[str]:
    """Everything in which the providers' log and the ledger (and what callers were `told`) do not agree."""
    pairs, unmatched, extra, found = _matched(served, rows)
    found += [f"served but in no row: {_of_served(entry)}" for entry in unmatched]
    found += [f"costs money, but nobody served it: {_of_row(row)}" for row in extra if _charged(row) and not _died(row)]
    for entry, row in pairs:
        found += [f"{fault}: {_of_served(entry)} / {_of_row(row)}" for fault in _faults(entry, row)]
    return found + _untold(rows, told)


def unserved(served: list[Entry], rows: list[Entry]) -> list[Entry]:
    """The rows that no request of the providers' log belongs to."""
    return _matched(served, rows)[2]


def provider_usd(served: Iterable[Entry]) -> Decimal:
    """What the providers have charged by their own log: for everything they answered, whoever saw it."""
    return sum((_price(entry) for entry in served), _NOTHING)


def _matched(
    served: list[Entry], rows: list[Entry]
) -> tuple[list[tuple[Entry, Entry]], list[Entry], list[Entry], list[str]]:
    """By the provider's id where the row has one, else by the call's number: pairs, the rest of both, and faults."""
    by_id = {entry["id"]: entry for entry in served}
    named = Counter(row["provider_request_id"] for row in rows if row["provider_request_id"])
    found = [f"{count} rows for one request: {name}" for name, count in named.items() if count > 1]
    found += [f"a row id twice: {name}" for name, count in Counter(row["id"] for row in rows).items() if count > 1]
    found += [f"a row names a request that nobody served: {name}" for name in named.keys() - by_id.keys()]
    pairs, silent = list[tuple[Entry, Entry]](), defaultdict[tuple[int, str], list[Entry]](list)
    for row in rows:
        if (entry := by_id.get(row["provider_request_id"])) is not None:
            pairs.append((entry, row))
        elif not row["provider_request_id"]:
            silent[row["n"], row["provider"]].append(row)
    unmatched = []
    for entry in served:
        if entry["id"] in named:
            continue
        if waiting := silent[entry["n"], entry["provider"]]:
            pairs.append((entry, waiting.pop()))
        else:
            unmatched.append(entry)
    return pairs, unmatched, [row for rest in silent.values() for row in rest], found


def _faults(entry: Entry, row: Entry) -> Iterable[str]:
    """What is wrong with the row of a request."""
    if (entry["n"], entry["provider"]) != (row["n"], row["provider"]):
        yield "the row is of another call"
    if entry["status"] >= 400 and _charged(row) and not _died(row):
        yield "an error costs money"
    if row["outcome"] == "ok" and (row["cost_status"] != "exact" or entry["status"] != 200):
        yield "a good answer is not exact"
    if row["cost_status"] == "exact" and entry["status"] == 200:
        counted = {name: row[column] for name, column in _COUNTS.items()}
        if counted != {name: entry["tokens"][name] for name in _COUNTS}:
            yield "the counts differ"
        if row["cost_usd"] != _price(entry):
            yield f"the cost is not {_price(entry)}"
    if _charged(row) < _price(entry):
        yield f"budgets count less than the {_price(entry)} that the provider may charge"


def _untold(rows: list[Entry], told: Iterable[Told]) -> list[str]:
    """Whoever has a whole answer has a good row, and whoever was sent something of a provider's has a row at all."""
    by_number = defaultdict[int, list[Entry]](list)
    for row in rows:
        by_number[row["n"]].append(row)
    found = []
    for each in told:
        outcomes = {row["outcome"] for row in by_number[each.n]}
        if each.provider_request_id and not outcomes:
            found.append(f"call {each.n} was answered and has no row: {each}")
        if each.whole and not outcomes & {"ok", "interrupted"}:
            found.append(f"call {each.n} has its whole answer, but its rows are {outcomes}")
    return found


def _price(entry: Entry) -> Decimal:
    if entry["status"] != 200:
        return _NOTHING
    tokens = entry["tokens"]
    return Decimal(tokens["uncached_input"] * INPUT_USD + tokens["output"] * OUTPUT_USD)


def _charged(row: Entry) -> Decimal:
    """What budgets count."""
    values = (row["liability_usd"], row["cost_usd"])
    return next((value for value in values if value is not None), _NOTHING)


def _died(row: Entry) -> bool:
    """The proxy was killed under the call: whether the provider got it cannot be known."""
    return bool(row["outcome"] == "interrupted")


def _assert_budget(pieces: Pieces, rows: list[Entry]) -> None:
    expected = sum(map(_charged, rows), _NOTHING)
    stands: list[object] = []

    def right() -> bool:
        stands[:] = [pieces.budget()]
        return stands == [{"spent_usd": expected, "held_usd": _NOTHING}]

    _wait(right, stands, f"the budget has spent the ledger's {expected} and holds nothing")


def _wait(condition: Any, shown: list[T], what: str = "the providers' log and the ledger agree") -> None:
    try:
        until(condition, limit_s=60)
    except BaseException as error:
        said = "\n".join(str(each) for each in shown[:_SHOWN])
        raise AssertionError(f"{what}: no; {len(shown)} findings, the first ones:\n{said}") from error


def _of_served(entry: Entry) -> str:
    tokens = {name: count for name, count in entry["tokens"].items() if count}
    shown = ("id", "n", "provider", "status", "complete", "fault")
    return f"served { ({name: entry[name] for name in shown} | tokens) }"


def _of_row(row: Entry) -> str:
    shown = ("n", "provider", "attempt", "provider_request_id", "outcome", "status", "error_class", "cost_status")
    return (
        f"row { ({name: row[name] for name in (*shown, *_COUNTS.values(), 'cost_usd', 'liability_usd') if row[name]}) }"
    )
