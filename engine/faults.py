"""What pydantic finds wrong with a document, in plain words."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.errors import Fault

#: Fields that are thought of but do nothing yet; writing one is refused instead of being ignored.
PLANNED_FIELDS = frozenset({"group_wait", "depends_on"})

#: Messages quote what was written, which may be long.
_LONGEST = 300
_PLAIN: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long: at most {max_length} characters",
    "tuple_type": "must be a list",
    "dict_type": "must be an object with fields",
    "model_type": "must be an object with fields",
    "is_instance_of": "must be an object with fields",
    "model_attributes_type": "must be an object with fields",
    "too_short": "needs at least one entry",
    "enum": "must be one of {expected}, not {input!r}",
    "union_tag_not_found": "must be all, any, not, or a condition with metric, window, op and value",
}


def faults(error: ValidationError, known: Iterable[type[BaseModel]]) -> tuple[Fault, ...]:
    """One fault a finding; `known` are the models whose field names may have been meant."""
    names = sorted({field.alias or name for model in known for name, field in model.model_fields.items()})
    found = [f for f in error.errors(include_url=False) if not (f["type"] == "too_short" and f["input"])]
    return tuple(Fault(path(f["loc"]), _cut(_message(f, names))) for f in found)


def told(found: Any) -> str:
    """One of pydantic's findings in plain words, which quote nothing of what was written: it may be a secret."""
    kind, words = found["type"], str(found["msg"])
    if kind == "extra_forbidden":
        return f"there is no field {str(found['loc'][-1])[:100]!r} here"
    if kind == "value_error":
        return _cut(words.removeprefix("Value error, "))
    plain = _PLAIN.get(kind, "{input")
    if "{input" not in plain:
        return plain.format(**found.get("ctx", {}))
    return _cut(f"{words[:1].lower()}{words[1:]}")


def path(location: Iterable[int | str]) -> str:
    """`('when', '<all>', 'all', 0, 'metric')` as `when.all[0].metric`."""
    return "".join(_steps(location)).removeprefix(".")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _steps(location: Iterable[int | str]) -> Iterator[str]:
    for part in location:
        if isinstance(part, int):
            yield f"[{part}]"
        elif part != "[key]" and not part.startswith("<"):
            yield f".{part}"


def _message(found: Any, names: list[str]) -> str:
    kind, context = found["type"], found.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_field(str(found["loc"][-1]), names)
    if kind == "value_error":
        return str(context["error"])
    if plain := _PLAIN.get(kind):
        return plain.format(**context, input=found["input"])
    return str(found["msg"]).lower()


def _unknown_field(name: str, names: list[str]) -> str:
    if name in PLANNED_FIELDS:
        return f"{name} is not supported yet"
    if name in {"all", "any", "not"}:
        return f"{name} cannot stand beside other fields; nest one in the other"
    near = difflib.get_close_matches(name, names, n=1)
    return f"there is no field {name!r} here" + (f"; did you mean {near[0]!r}?" if near else "")
