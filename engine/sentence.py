"""A rule in plain English, made from the document and from nothing else."""

from collections.abc import Iterator, Mapping, Sequence

from data.metrics import metric
from engine.active import written_days, written_hours
from engine.condition import WITHOUT_WINDOW, AllOf, CompareAs, Condition, Node, Not, Op
from engine.durations import every_spoken, spoken
from engine.levels import Level
from engine.policies import Flapping, Inhibition
from engine.rule import NoData, OnError, Rule
from engine.units import spoken_unit
from engine.window import Calendar, Period, spoken_window

_OPS: Mapping[Op, str] = {
    Op.ABOVE: "above",
    Op.AT_LEAST: "at least",
    Op.BELOW: "below",
    Op.AT_MOST: "at most",
    Op.EQUAL: "exactly",
    Op.NOT_EQUAL: "anything but",
}
_NO_DATA: Mapping[NoData, str] = {
    NoData.NO_DATA: "without data it shows no data and keeps open incidents open",
    NoData.FIRING: "no data counts as firing",
    NoData.KEEP: "without data nothing changes",
}
_ON_ERROR: Mapping[OnError, str] = {
    OnError.FIRING: "a failed evaluation counts as firing",
    OnError.KEEP: "a failed evaluation changes nothing",
}

_PREVIOUS: Mapping[Period, str] = {
    Period.TODAY: "yesterday up to the same time",
    Period.THIS_WEEK: "last week up to the same time",
    Period.THIS_MONTH: "last month up to the same time",
}


def sentence(rule: Rule) -> str:
    """What the rule does, in a few short sentences."""
    told = [_tells(rule), _escalates(rule), _flaps(rule), *_inhibits(rule)]
    parts = [_fires(rule), _warns(rule), _checked(rule), *_policies(rule), *told]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts if part)


def condition_sentence(condition: Condition) -> str:
    """One condition: `cost over the last day is above $500 (recovering at $450; warn above $400)`."""
    text = f"{subject(condition)} is {limit(condition, condition.value)}"
    aside = "; ".join(_aside(condition))
    return f"{text} ({aside})" if aside else text


def subject(condition: Condition) -> str:
    """What a condition measures: `cost over the last day`. Raises UnknownMetric."""
    text = f"{metric(condition.metric).label.lower()}{_scope(condition.where)}{_over(condition)}"
    return text if condition.compare is None else f"the change in {text} from {_baseline(condition)}"


def limit(condition: Condition, threshold: float) -> str:
    """What it is held against: `above $500`."""
    return f"{_OPS[condition.op]} {quantity(condition, threshold)}"


def _aside(condition: Condition) -> Iterator[str]:
    if condition.recovery is not None:
        yield f"recovering at {quantity(condition, condition.recovery)}"
    if condition.warn is not None:
        until = condition.warn_recovery
        recovering = f", recovering at {quantity(condition, until)}" if until is not None else ""
        yield f"warn {_OPS[condition.op]} {quantity(condition, condition.warn)}{recovering}"


def quantity(condition: Condition, value: float) -> str:
    """A number as this condition's threshold or value, with its unit; changes carry their sign."""
    percent = condition.compare is not None and condition.compare.as_ is CompareAs.PERCENT
    text = with_unit(value, "percent" if percent else metric(condition.metric).unit)
    return f"+{text}" if condition.compare and value > 0 else text


def with_unit(value: float, unit: str) -> str:
    """`$500`, `$0.50`, `10 %`, `8,000 ms`, `3 requests`."""
    if unit.startswith("usd"):
        sign, size = "-" if value < 0 else "", _digits(abs(value))
        cents = f"{size}0" if size[-2:-1] == "." else size
        return f"{sign}${cents}{unit.removeprefix('usd')}"
    return f"{_digits(value)} {spoken_unit(value, unit)}".rstrip()


def rounded(value: float) -> float:
    """A measured value as it is shown: four digits that matter, and never fewer than the whole number."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")


def _digits(value: float) -> str:
    """Up to six digits that matter, and never fewer than the whole number and cents."""
    text = f"{value:,.2f}" if abs(value) >= 1000 else f"{float(f'{value:.6g}'):,.12f}"
    short = text.rstrip("0").rstrip(".")
    return "0" if short == "-0" else short


def _baseline(condition: Condition) -> str:
    back = condition.compare.to if condition.compare else None
    if back is not None:
        return f"{spoken(back)} earlier"
    return _PREVIOUS[condition.window.period] if isinstance(condition.window, Calendar) else "the window before"


def _over(condition: Condition) -> str:
    return "" if condition.metric in WITHOUT_WINDOW else f" {spoken_window(condition.window)}"


def _scope(where: Mapping[str, Sequence[str]]) -> str:
    if not where:
        return ""
    return " for " + " and ".join(f"{dimension} {_or(values)}" for dimension, values in where.items())


def _or(values: Sequence[str]) -> str:
    return _joined(values, "or")


def _joined(words: Sequence[str], last: str) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _tree(node: Node, *, inner: bool = False) -> str:
    if isinstance(node, Condition):
        return condition_sentence(node)
    if isinstance(node, Not):
        return f"not ({_tree(node.member)})"
    if len(node.members) == 1:
        return _tree(node.members[0], inner=inner)
    word = " and " if isinstance(node, AllOf) else " or "
    text = word.join(_tree(member, inner=True) for member in node.members)
    return f"({text})" if inner else text


def _fires(rule: Rule) -> str:
    each = f", for each {_joined(rule.group_by, 'and')}" if rule.group_by else ""
    within = f",{_scope(rule.where)}, " if rule.where else " "
    held = f" for {spoken(rule.for_)}" if rule.for_ else ""
    return f"a {rule.severity} alert fires when{within}{_tree(rule.when)}{held}{each}"


def _warns(rule: Rule) -> str:
    if not rule.levels:
        return ""
    mild = rule.levels[Level.WARN]
    told = f" that notifies {_joined(rule.warn_notify, 'and')}" if rule.warn_notify else ""
    return f"at the warn thresholds it is a {mild.severity} alert{told}, quiet while the {rule.severity} one fires"


def _checked(rule: Rule) -> str:
    late = f", {spoken(rule.delay)} late" if rule.delay else ""
    zone = f", with days of {rule.tz}" if rule.tz != "UTC" else ""
    return f"checked {every_spoken(rule.every)}{late}{zone}"


def _policies(rule: Rule) -> list[str]:
    keep = f"it ends {spoken(rule.keep_firing_for)} after it last held" if rule.keep_firing_for else ""
    return [keep, _NO_DATA.get(rule.no_data, ""), _ON_ERROR.get(rule.on_error, "")]


def _tells(rule: Rule) -> str:
    if not rule.notify:
        return "nobody is notified"
    text = f"notifies {_joined(rule.notify, 'and')}"
    if rule.fallback:
        text += f" (if that fails, {_joined(rule.fallback, 'then')})"
    if rule.active:
        text += f" {written_days(rule.active.days)} {written_hours(rule.active.hours)} {rule.active.tz}"
    if rule.repeat:
        text += f", again {every_spoken(rule.repeat)} until acknowledged"
    return text + (f", at most once in {spoken(rule.cooldown)} for the same group" if rule.cooldown else "")


def _inhibits(rule: Rule) -> list[str]:
    return [_inhibits_one(inhibition) for inhibition in rule.inhibits]


def _inhibits_one(inhibition: Inhibition) -> str:
    same = f" and the same {_joined(inhibition.equal, 'and')}" if inhibition.equal else ""
    own = f" (those with {_patterns(inhibition.source)})" if inhibition.source else ""
    return f"while it fires{own}, incidents with {_patterns(inhibition.match)}{same} notify nobody"


def _patterns(matchers: Mapping[str, Sequence[str]]) -> str:
    return " and ".join(f"{name} {_or(patterns)}" for name, patterns in matchers.items())


def _flaps(rule: Rule) -> str:
    """Only where it is not as usual."""
    if rule.flapping is None:
        return "it is told however often it comes and goes" if rule.notify else ""
    if rule.flapping == Flapping():
        return ""
    return f"that it comes and goes is told once after {rule.flapping.count} times in {spoken(rule.flapping.within)}"


def _escalates(rule: Rule) -> str:
    steps = [f"{_joined(step.notify, 'and')} after {spoken(step.after)}" for step in rule.escalate]
    return f"unless acknowledged, it tells {_joined(steps, 'and')}" if steps else ""
