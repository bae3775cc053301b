"""Dollars of the ledger as the whole nanodollars that budgets count. Pure."""

from decimal import Decimal
from typing import Final

from data.budgets import nano
from data.model import LedgerRecord, Source

#: No call costs a million dollars; a larger figure is a fault, and must not fill a counter beyond its integers.
MOST_NANO: Final = 10**15
_NANO_USD: Final = Decimal("1e-9")


def counted(record: LedgerRecord) -> int:
    """Return what budgets count of a call that has ended: its liability, else its cost; nothing where none is known.

    What was not paid through this gateway (imported, made up) is not counted.
    """
    usd = record.cost_usd if record.liability_usd is None else record.liability_usd
    if usd is None or record.source != Source.LIVE:
        return 0
    return min(max(nano(usd), 0), MOST_NANO)


def usd(nanodollars: int) -> Decimal:
    """Return nanodollars as dollars, exact."""
    return nanodollars * _NANO_USD


def shown(nanodollars: int) -> str:
    """Return an amount as people read it: `$1.20`, `$0.0034`."""
    dollars = nanodollars / 1e9
    return f"${dollars:,.2f}" if abs(dollars) >= 1 or not nanodollars else f"${dollars:.4f}"
