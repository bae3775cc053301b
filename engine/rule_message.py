"""A rule's own words, a template (`engine.templates`): what it can name, and what is wrong with it as written. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from engine import templates
from engine.errors import Fault, TemplateFault
from engine.quantity import Quantity

#: What any rule's message can name besides its labels.
NAMES = frozenset({"value", "threshold", "metric", "rule", "severity", "status", "labels"})
#: Values, with what every label says: a message that can be filled in with none of them never can.
_SAMPLES = ((512.3, "a"), (3.0, "1"), (None, ""))


def message_faults(message: str, labels: Collection[str]) -> Iterator[Fault]:
    """What would go wrong whatever is measured, with its line; `labels` are those that a notice can have."""
    known = NAMES | set(labels)
    try:
        templates.check(message, known, bare=known - {"labels"})
        templates.try_out(message, (_sample(labels, *each) for each in _SAMPLES))
    except TemplateFault as fault:
        where = f"line {fault.line}: " if fault.line else ""
        yield Fault("message", f"{where}{fault}")


def _sample(labels: Collection[str], value: float | None, label: str) -> Mapping[str, Any]:
    told = dict.fromkeys(labels, label)
    return {
        **told,
        "labels": told,
        "value": Quantity("no data" if value is None else f"{value:g} %", value),
        "threshold": Quantity("10 %", 10.0),
        "metric": "error_rate",
        "rule": "High error rate",
        "severity": "high",
        "status": "resolved" if value is None else "firing",
    }
