"""How a unit stands behind its number. Pure."""

#: Units of what is counted, which have a singular.
_COUNTED = frozenset({"requests", "tokens", "sessions", "keys"})


def spoken_unit(value: float, unit: str) -> str:
    """`requests`, but `request` of one; `%` for percent."""
    if unit == "percent":
        return "%"
    return unit.removesuffix("s") if value == 1 and unit in _COUNTED else unit
