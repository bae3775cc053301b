"""Numbers with their units, as people read them. Pure."""

#: Units of what is counted, which have a singular.
_COUNTED = frozenset({"requests", "tokens", "sessions", "keys"})


def with_unit(value: float, unit: str) -> str:
    """As somebody wrote it, a threshold: `$500`, `$0.50`, `10 %`, `8,000 ms`, `3 requests`."""
    digits = _digits(abs(value))
    if unit.startswith("usd") and "." in digits:
        digits = _cents(digits)
    return _shown(value, digits, unit)


def quantity(value: float | None, unit: str) -> str:
    """As it was measured: `$512.34`, `12.5 %`, `8,120 ms`, `0.004 %`, `no data` for None.

    To the hundredth, but what is less than one to six digits that matter.
    """
    if value is None:
        return "no data"
    size, money = abs(value), unit.startswith("usd")
    digits = _digits(size) if size < 1 else f"{size:,.2f}"
    if money:
        return _shown(value, _cents(digits), unit)
    return _shown(value, f"{size:,.0f}" if size >= 1000 else _plain(digits), unit)


def _shown(value: float, digits: str, unit: str) -> str:
    sign = "-" if value < 0 and digits.strip("0.") else ""
    if unit.startswith("usd"):
        return f"{sign}${digits}{unit.removeprefix('usd')}"
    return f"{sign}{digits} {_spoken(value, unit)}".rstrip()


def _digits(size: float) -> str:
    """Up to six digits that matter, and never fewer than the whole number and cents."""
    return _plain(f"{size:,.2f}" if size >= 1000 else f"{float(f'{size:.6g}'):,.12f}")


def _plain(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _cents(digits: str) -> str:
    whole, _, part = digits.partition(".")
    return f"{whole}.{part.ljust(2, '0')}"


def _spoken(value: float, unit: str) -> str:
    """`requests`, but `request` of one; `%` for percent."""
    if unit == "percent":
        return "%"
    return unit.removesuffix("s") if value == 1 and unit in _COUNTED else unit
