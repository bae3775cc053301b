"""A rule's own words, a template (`engine.templates`): what it can name, and what is wrong with it as written. Pure."""

from collections.abc import Collection, Iterator

from engine import templates
from engine.errors import Fault, TemplateFault

#: What any rule's message can name besides its labels.
NAMES = frozenset({"value", "threshold", "metric", "rule", "severity", "status", "labels"})


def message_faults(message: str, labels: Collection[str]) -> Iterator[Fault]:
    """What would go wrong whatever is measured, with its line; `labels` are those that a notice can have."""
    known = NAMES | set(labels)
    try:
        templates.check(message, known, bare=known - {"labels"})
    except TemplateFault as fault:
        where = f"line {fault.line}: " if fault.line else ""
        yield Fault("message", f"{where}{fault}")
