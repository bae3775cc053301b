"""Templates that people write: sandboxed Jinja that ends soon and stays small, whatever it says.

Of the language: `{{ name }}`, `{{ labels.model }}`, filters, `if`, `for`, `set`, comparisons and arithmetic. Nothing
can be called, no attribute but a label is reached, and what could grow without end (`*` of texts, `~`, `**`, lists,
macros) is refused when the template is read; the rest runs on a budget of steps, characters and time.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes, pass_context
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.errors import TemplateFault
from engine.quantity import Quantity, number_of
from engine.template_filters import FILTERS, MOST_CHARS

MOST_STEPS, MOST_SECONDS, DEEPEST = 10_000, 0.5, 50
_LARGEST_BITS = 256
_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Slice, nodes.Filter, nodes.Keyword, nodes.Test, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.For, nodes.Assign),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
_TESTS = ("defined", "undefined", "none", "string", "number", "even", "odd", "in", "eq", "ne", "lt", "le", "gt", "ge")
_LOOP = frozenset({"index", "index0", "first", "last", "length"})
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_LABEL = re.compile(r"labels\.([\w.]+)")
#: Names that Jinja reads as words of its own.
_WORDS = frozenset({"true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"})
#: What goes wrong in a template is the template's fault.
_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError, MemoryError, SyntaxError)
#: `render` or `evaluate`.
Fill = Callable[[str, Mapping[str, Any]], Any]
_NAMED, _COUNTED = "_named", "_counted"


@dataclass(slots=True)
class _Budget:
    """What one rendering may still use, and the last value that it wrote."""

    until: float
    alone: bool  # the template is one expression with nothing around it, whose value is asked for
    steps: int = MOST_STEPS
    written: int = 0
    pieces: int = 0
    last: Any = None

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise TemplateFault(f"the template takes more than {MOST_STEPS:,} steps")
        if time.monotonic() > self.until:
            raise TemplateFault(f"the template takes longer than {MOST_SECONDS:g} s")


_budget: ContextVar[_Budget] = ContextVar("budget")


def check(text: str, names: Collection[str], *, bare: Collection[str] = ()) -> None:
    """Raise TemplateFault unless `text` is a template that only names `names`, and of the `bare` ones no attribute."""
    read = _read(_current(text, frozenset(names)))
    unknown = sorted(read.names.keys() - set(names) - {_NAMED})
    if unknown:
        told = f"names {', '.join(unknown)}, known are {', '.join(sorted(names))}"
        raise TemplateFault(told, line=min(read.names[name] for name in unknown))
    for name, attribute, line in read.attributes:
        if name in bare:
            raise TemplateFault(f"{name} has no attribute {attribute!r}", line=line)


def render(text: str, values: Mapping[str, Any]) -> str:
    """The template filled in; raises TemplateFault, also where it would take too long or grow too large."""
    return _rendered(text, values, as_text=True)[0]


def try_out(text: str, samples: Iterable[Mapping[str, Any]], *, fill: Fill | None = None) -> None:
    """Raise the first sample's TemplateFault where `fill` (`render`) can fill the template in with none of them."""
    first: TemplateFault | None = None
    for values in samples:
        try:
            (fill or render)(text, values)
        except TemplateFault as fault:
            first = first or fault
        else:
            return
    if first:
        raise first


def evaluate(text: str, values: Mapping[str, Any], *, until: float | None = None) -> Any:
    """As `render`, but a template that is nothing but one `{{ … }}` gives the value as it is (a number).

    Many that make one document share one `until` (see `deadline`).
    """
    made, budget = _rendered(text, values, as_text=False, until=until)
    return budget.last if budget.alone else made


def deadline() -> float:
    """When what is begun now must have ended."""
    return time.monotonic() + MOST_SECONDS


def _rendered(
    text: str, values: Mapping[str, Any], *, as_text: bool, until: float | None = None
) -> tuple[str, _Budget]:
    check(text, values.keys())
    read = _read(_current(text, frozenset(values)))
    budget = _Budget(deadline() if until is None else until, read.alone and not as_text)
    token = _budget.set(budget)
    try:
        return "".join(_limited(read.template.generate({**values, _NAMED: values}), budget)), budget
    except _FAULTS as error:
        raise TemplateFault(_told(error)) from error
    finally:
        _budget.reset(token)


def _limited(pieces: Iterable[str], budget: _Budget) -> Iterator[str]:
    for piece in pieces:
        budget.written += len(piece)
        if budget.written > MOST_CHARS:
            raise TemplateFault(f"the template makes more than {MOST_CHARS:,} characters")
        yield piece


def _told(error: BaseException) -> str:
    """The fault in words, without what the text was that it was found in."""
    if isinstance(error, TemplateError):
        return (error.message or "it is no template")[:300]
    return (str(error) if isinstance(error, ArithmeticError) else f"{type(error).__name__}: {error}")[:300]


@dataclass(frozen=True, slots=True)
class _Read:
    template: Template
    names: Mapping[str, int]  # each with the line it is first in
    attributes: tuple[tuple[str, str, int], ...]  # what is asked of names: name, attribute, line
    alone: bool  # one expression and nothing around it


@lru_cache(maxsize=512)
def _read(text: str) -> _Read:
    """The template, compiled; raises TemplateFault for what is not of the language above."""
    try:
        tree = _ENVIRONMENT.parse(text)
        _require_allowed(tree)
        names, attributes, alone = _names(tree), tuple(_attributes(tree)), _is_alone(tree)
        _count_steps(tree)
        return _Read(_ENVIRONMENT.from_string(tree), names, attributes, alone)
    except _FAULTS as error:
        raise TemplateFault(_told(error), line=getattr(error, "lineno", None)) from error


def _require_allowed(tree: nodes.Node) -> None:
    waiting = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            raise TemplateFault("the template is nested too deeply", line=node.lineno)
        target = isinstance(node, nodes.Tuple) and node.ctx == "store"
        if not (isinstance(node, _ALLOWED) or target) or (isinstance(node, nodes.For) and node.recursive):
            raise TemplateFault(f"{type(node).__name__} is not possible in a template", line=node.lineno)
        if isinstance(node, nodes.Filter) and node.name == _COUNTED:
            raise TemplateFault(f"No filter named {node.name!r}", line=node.lineno)
        if isinstance(node, nodes.Getattr) and node.attr.startswith("__"):
            raise TemplateFault(f"the attribute {node.attr!r} is not possible in a template", line=node.lineno)
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]


def _names(tree: nodes.Template) -> dict[str, int]:
    """What is named and not made in the template itself, with the line it is first in."""
    undeclared = meta.find_undeclared_variables(tree)
    lines: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in undeclared:
            lines[node.name] = min(node.lineno, lines.get(node.name, node.lineno))
    return lines


def _attributes(tree: nodes.Template) -> Iterator[tuple[str, str, int]]:
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name):
            yield node.node.name, node.attr, node.lineno


def _is_alone(tree: nodes.Template) -> bool:
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return False
    return len(tree.body[0].nodes) == 1 and not isinstance(tree.body[0].nodes[0], nodes.TemplateData)


def _count_steps(tree: nodes.Template) -> None:
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
    tree.set_environment(_ENVIRONMENT)


@lru_cache(maxsize=512)
def _current(text: str, names: frozenset[str]) -> str:
    """The template with names that Jinja would read otherwise (`team-name`, `labels.a.b`, `in`) looked up by text."""

    def looked_up(found: re.Match[str]) -> str:
        inner = found.group(1)
        label = _LABEL.fullmatch(inner)
        if label and not label.group(1).isidentifier():
            return f"{{{{ labels[{json.dumps(label.group(1), ensure_ascii=False)}] }}}}"
        if inner in names and (not inner.isidentifier() or inner in _WORDS):
            return f"{{{{ {_NAMED}[{json.dumps(inner, ensure_ascii=False)}] }}}}"
        return found.group(0)

    return _PLACEHOLDER.sub(looked_up, text)


@pass_context  # or Jinja would call it while it compiles, for what never changes
def _finalized(_: Context, value: Any) -> Any:
    """What is written of a value; only a template that is nothing but this value can be of another kind than text."""
    budget = _budget.get()
    budget.step()
    budget.last, budget.pieces = value, budget.pieces + 1
    if isinstance(value, str | int | float | datetime | Undefined):
        return value
    if value is None or (budget.alone and isinstance(value, Mapping | list)):
        return ""
    raise TemplateFault(f"a {type(value).__name__} cannot be written; write what is in it")


def _counted(items: Any) -> Iterator[Any]:
    for item in items:
        _budget.get().step()
        yield item


def _stepping(filter_: Callable[..., Any]) -> Callable[..., Any]:
    def stepped(*args: Any, **options: Any) -> Any:
        _budget.get().step()
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
        _budget.get().step()
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
    made.filters = {name: _stepping(filter_) for name, filter_ in FILTERS.items()} | {_COUNTED: _counted}
    made.tests = {name: made.tests[name] for name in _TESTS}
    made.tests["number"] = lambda value: isinstance(number_of(value), int | float)
    return made


_ENVIRONMENT = _environment()
