"""Templates that people write: sandboxed Jinja that ends soon and stays small, whatever it says.

Of the language: `{{ name }}`, `{{ labels.model }}`, filters, `if`, `for`, `set`, comparisons and arithmetic. Nothing
can be called, no attribute but a label is reached, and what could grow without end (`*` of texts, `~`, `**`, lists,
macros) is refused when the template is read; the rest runs on a budget of steps, characters and time.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, meta, nodes

from engine.errors import TemplateFault
from engine.template_filters import MOST_CHARS
from engine.template_sandbox import BUDGET, COUNTED, ENVIRONMENT, MOST_SECONDS, Budget

DEEPEST = 50
_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem),
    *(nodes.Slice, nodes.Filter, nodes.Keyword, nodes.Test, nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.For, nodes.Assign),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
)
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_LABEL = re.compile(r"labels\.([\w.]+)")
#: Names that Jinja reads as words of its own.
_WORDS = frozenset({"true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"})
#: What goes wrong in a template is the template's fault.
_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError, MemoryError, SyntaxError)
#: `render` or `evaluate`.
Fill = Callable[[str, Mapping[str, Any]], Any]
_NAMED = "_named"


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


def _rendered(text: str, values: Mapping[str, Any], *, as_text: bool, until: float | None = None) -> tuple[str, Budget]:
    check(text, values.keys())
    read = _read(_current(text, frozenset(values)))
    budget = Budget(deadline() if until is None else until, read.alone and not as_text)
    token = BUDGET.set(budget)
    try:
        return "".join(_limited(read.template.generate({**values, _NAMED: values}), budget)), budget
    except _FAULTS as error:
        raise TemplateFault(_told(error)) from error
    finally:
        BUDGET.reset(token)


def _limited(pieces: Iterable[str], budget: Budget) -> Iterator[str]:
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
        tree = ENVIRONMENT.parse(text)
        _require_allowed(tree)
        names, attributes, alone = _names(tree), tuple(_attributes(tree)), _is_alone(tree)
        _count_steps(tree)
        return _Read(ENVIRONMENT.from_string(tree), names, attributes, alone)
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
        if isinstance(node, nodes.Filter) and node.name == COUNTED:
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
        loop.iter = nodes.Filter(loop.iter, COUNTED, [], [], None, None, lineno=loop.lineno)
    tree.set_environment(ENVIRONMENT)


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
