"""Ready rules for what usually goes wrong: a library of templates with parameters, each with why its values are so.

A template is a file in `engine/library`, named after it. In its rule `$name` stands for a parameter's value,
`$-name` for its negative, `${name}` for its text inside another and `$$` for a dollar. A field whose parameter is not
set is left out. Besides its own, each template has the parameters `name` and `channels`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from engine.channel_store import IN_APP_NAME
from engine.condition import LARGEST_NUMBER, Document
from engine.errors import Fault, NotFound, RuleError
from engine.rule import Rule, parse
from engine.sentence import sentence

_FOLDER = Path(__file__).parent / "library"
_WHOLE = re.compile(r"\$(-?)([a-z_]+)")
_INSIDE = re.compile(r"\$(?:\{([a-z_]+)\}|(\$))")
_ABSENT = object()


class Parameter(Document):
    """What can be set: what it is, and what it is without being set. One without a default must be set.

    A `positive` number must be more than nothing; no number is negative.
    """

    text: str
    default: Any = None
    example: Any = None
    positive: bool = False

    @property
    def numeric(self) -> bool:
        """Whether only a number makes sense, as its default or its example is one."""
        return any(_is_number(usual) for usual in (self.default, self.example))

    def fault(self, value: Any) -> str:
        """Why it cannot have this value, as words after its name; '' where nothing is wrong."""
        if value is None or not self.numeric:
            return ""
        if not _is_number(value):
            return f"must be a number, not {value!r}"
        if value < 0 or (self.positive and value == 0):
            return f"must {'be more than 0' if self.positive else 'not be negative'}, not {value!r}"
        return ""

    @property
    def required(self) -> bool:
        """Whether it has to be set."""
        return "default" not in self.model_fields_set


class _Written(Document):
    title: str
    category: str
    description: str
    why: str
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    rule: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """One template. `rule` is its document with the parameters in it."""

    name: str
    title: str
    category: str
    description: str
    why: str
    parameters: Mapping[str, Parameter]
    rule: Mapping[str, Any]

    def example(self) -> Rule:
        """The rule with its defaults, and examples for what must be set."""
        return self.made({name: p.example for name, p in self.parameters.items() if p.required})

    def sentence(self) -> str:
        """What the example does, in plain English."""
        return sentence(self.example())

    def made(self, values: Mapping[str, Any]) -> Rule:
        """The rule with these parameters; RuleError names those that are unknown, missing or make no sense."""
        if faults := tuple(self._faults(values)):
            raise RuleError(faults)
        known = {name: parameter.default for name, parameter in self.parameters.items()} | dict(values)
        rule = _filled(dict(self.rule), known)
        return parse(rule | ({"name": str(values["name"])} if values.get("name") else {}))

    def _faults(self, values: Mapping[str, Any]) -> Iterator[Fault]:
        for name in values:
            if name not in self.parameters:
                yield Fault(name, f"is not a parameter of {self.name}; there are {', '.join(self.parameters)}")
        for name, parameter in self.parameters.items():
            if parameter.required and values.get(name) is None:
                yield Fault(name, f"must be set: {_inside(parameter.text)}")
            if why := parameter.fault(values.get(name)):
                yield Fault(name, why)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _inside(text: str) -> str:
    """A sentence as it stands after a colon: `by how many`, but `US dollars`."""
    return text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"


@cache
def every() -> tuple[Template, ...]:
    """All templates, by category and title."""
    found = [_read(path) for path in _FOLDER.glob("*.yaml")]
    return tuple(sorted(found, key=lambda one: (one.category, one.title)))


def get(name: str) -> Template:
    """The template of that name; raises NotFound with all names."""
    for template in every():
        if template.name == name:
            return template
    raise NotFound(f"there is no template {name!r}; there are {', '.join(sorted(one.name for one in every()))}")


def _read(path: Path) -> Template:
    written = _Written.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    usual = {
        "name": Parameter(text="The rule's name", default=None),
        "channels": Parameter(text="The channels that are told", default=[IN_APP_NAME]),
    }
    return Template(
        name=path.stem,
        title=written.title,
        category=written.category,
        description=written.description,
        why=written.why,
        parameters={**written.parameters, **usual},
        rule={**written.rule, "notify": "$channels"},
    )


def _filled(value: Any, known: Mapping[str, Any]) -> Any:
    """The value with its parameters; `_ABSENT` where it is one that is not set."""
    if isinstance(value, dict):
        parts = {key: _filled(item, known) for key, item in value.items()}
        return {key: item for key, item in parts.items() if item is not _ABSENT}
    if isinstance(value, list):
        return [item for item in (_filled(item, known) for item in value) if item is not _ABSENT]
    if not isinstance(value, str):
        return value
    if whole := _WHOLE.fullmatch(value):
        found = known[whole[2]]
        return _ABSENT if found is None else -found if whole[1] else found
    return _INSIDE.sub(lambda match: str(known[match[1]]) if match[1] else "$", value)
