"""The sandbox that templates run in: no attribute is reached, no large thing made, and each step is counted."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import StrictUndefined, pass_context
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.errors import TemplateFault
from engine.quantity import Quantity, number_of
from engine.template_filters import FILTERS, MOST_CHARS

MOST_STEPS, MOST_SECONDS = 10_000, 0.5
#: The filter that counts what a loop goes through.
COUNTED = "_counted"
_LARGEST_BITS = 256
_TESTS = ("defined", "undefined", "none", "string", "number", "even", "odd", "in", "eq", "ne", "lt", "le", "gt", "ge")
_LOOP = frozenset({"index", "index0", "first", "last", "length"})


@dataclass(slots=True)
class Budget:
    """What one rendering may still use, and the last value that it wrote."""

    until: float
    alone: bool  # the template is one expression with nothing around it, whose value is asked for
    steps: int = MOST_STEPS
    written: int = 0
    pieces: int = 0
    last: Any = None

    def step(self) -> None:
        """Use up one step; raises TemplateFault when none or no time is left."""
        self.steps -= 1
        if self.steps < 0:
            raise TemplateFault(f"the template takes more than {MOST_STEPS:,} steps")
        if time.monotonic() > self.until:
            raise TemplateFault(f"the template takes longer than {MOST_SECONDS:g} s")


#: That of the rendering under way.
BUDGET: ContextVar[Budget] = ContextVar("budget")


@pass_context  # or Jinja would call it while it compiles, for what never changes
def _finalized(_: Context, value: Any) -> Any:
    """What is written of a value; only a template that is nothing but this value can be of another kind than text."""
    budget = BUDGET.get()
    budget.step()
    budget.last, budget.pieces = value, budget.pieces + 1
    if isinstance(value, str | int | float | datetime | Undefined):
        return value
    if value is None or (budget.alone and isinstance(value, Mapping | list)):
        return ""
    raise TemplateFault(f"a {type(value).__name__} cannot be written; write what is in it")


def _counted(items: Any) -> Iterator[Any]:
    for item in items:
        BUDGET.get().step()
        yield item


def _stepping(filter_: Callable[..., Any]) -> Callable[..., Any]:
    def stepped(*args: Any, **options: Any) -> Any:
        BUDGET.get().step()
        return filter_(*args, **options)

    return stepped


def _are_quantities(left: Any, right: Any) -> bool:
    return isinstance(left, Quantity) and isinstance(right, Quantity)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which in addition no attribute is reached and no operator makes large things."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A label (empty where this incident has none), or the place in a loop; nothing else has attributes."""
        if isinstance(obj, Mapping):
            return obj.get(attribute, "")
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A label by its name, or a part of a text or list."""
        if isinstance(obj, Mapping):
            return obj.get(argument, "")
        if isinstance(obj, str | list | tuple) and isinstance(argument, int | slice):
            return obj[argument]
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """The result for two numbers, or `+` of two texts; a quantity is a number but beside a text."""
        BUDGET.get().step()
        if not (isinstance(left, str) and isinstance(right, str)) or _are_quantities(left, right):
            left, right = number_of(left), number_of(right)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) > MOST_CHARS:
                raise TemplateFault(f"the template makes more than {MOST_CHARS:,} characters")
            return left + right
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            raise TemplateFault(f"{operator} works on numbers")
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, int) and made.bit_length() > _LARGEST_BITS:
            raise TemplateFault("the template makes numbers that are too large")
        return made


def _environment() -> _Sandbox:
    made = _Sandbox(
        undefined=StrictUndefined, autoescape=False, optimized=False, finalize=_finalized, keep_trailing_newline=True
    )
    made.globals.clear()
    made.filters = {name: _stepping(filter_) for name, filter_ in FILTERS.items()} | {COUNTED: _counted}
    made.tests = {name: made.tests[name] for name in _TESTS}
    made.tests["number"] = lambda value: isinstance(number_of(value), int | float)
    return made


#: In which templates are compiled.
ENVIRONMENT = _environment()
