import threading
import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import TemplateFault
from engine.template_sandbox import MOST_SECONDS
from engine.templates import check, evaluate, render

LABELS = {"model": "gpt-5", "team-name": "core", "a.b": "dotted", "items": "seven"}
VALUES = {
    **LABELS,
    "labels": LABELS,
    "value": "$512.3",
    "n": 512.345,
    "none": None,
    "in": "a word of Jinja's",
    "at": datetime(2026, 3, 1, tzinfo=UTC),
    "long": "x" * 4000,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain { text } with 100 %\n", "plain { text } with 100 %\n"),
        ("{{ value }} on {{model}}", "$512.3 on gpt-5"),
        ("{{ none }}{{ n }}", "512.345"),
        # names of old templates that Jinja would read otherwise
        ("{{ team-name }}/{{ a.b }}/{{ in }}", "core/dotted/a word of Jinja's"),
        ("{{ labels.model }}/{{ labels.a.b }}/{{ labels.nobody }}/{{ labels.items }}", "gpt-5/dotted//seven"),
        ('{{ labels["team-name"] | upper }}', "CORE"),
        ("{{ n | round(1) }} {{ n * 1000 | int }} {{ 1234567.891 | number(1) }}", "512.3 512345.0 1,234,567.9"),
        ("{% if n > 500 %}much{% elif n > 1 %}some{% else %}little{% endif %}", "much"),
        ("{{ 'yes' if model == 'gpt-5' and not none else 'no' }}", "yes"),
        (
            "{% for name, label in labels | items %}{{ loop.index }}:{{ name }} {% endfor %}",
            "1:a.b 2:items 3:model 4:team-name ",
        ),
        ("{% set who = labels.team | default('nobody') %}{{ who | title }}", "Nobody"),
        ("{{ value[1:4] }}{# a comment #}", "512"),
        ("{{ labels | join(', ') | truncate(10) }}", "model, te…"),
        ("{{ at }}", "2026-03-01 00:00:00+00:00"),
        ("{{ '<b>' }}", "<b>"),
    ],
)
def test_what_templates_can_say(template, text):
    assert render(template, VALUES) == text


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ n }}", 512.345),
        ("{{ none }}", None),
        ("{{ n | int }}", 512),
        ("{{ labels }}", LABELS),
        ("{{ n }}!", "512.345!"),
    ],
)
def test_a_template_that_is_one_expression_gives_its_value(template, value):
    assert evaluate(template, VALUES) == value


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ nope }} {{ value }}", "names nope, known are"),
        ("{{ value", "end of template"),
        ("{% if %}", "Expected"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ labels }} in a text", "cannot be written"),
        ("{{ value | wild }}", "No filter named"),
        ("{{ value > 5 }}", "not supported between"),
        ("{{ value.real }}", "no attribute"),
    ],
)
def test_a_broken_template_says_what_is_wrong(template, why):
    with pytest.raises(TemplateFault, match=why):
        render(template, VALUES)


#: What gets out of weaker sandboxes, or makes much of little.
EVIL = [
    "{{ 'x' * 10**9 }}",
    "{{ 'x' * 1000000000 }}",
    "{{ 10**10**10 }}",
    "{{ 1000000000 * 'x' }}",
    "{{ [0] * 1000000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{{ value.ljust(1000000000) }}",
    "{{ value.center(1000000000) }}",
    "{{ value | center(1000000000) }}",
    "{{ value | indent(1000000000) }}",
    "{{ long | replace('x', long) | replace('x', long) }}",
    "{{ labels | join(long + long + long + long + long) }}",
    "{% set a = long + long %}" + "{% set a = a + a %}" * 100 + "{{ a }}",
    "{% set a = 999999999999999999 %}" + "{% set a = a * a %}" * 100 + "{{ a }}",
    "{{ " + "9" * 5000 + " }}",
    "{% for a in range(10**9) %}{% endfor %}",
    "{% for a in range(1000000000) %}x{% endfor %}",
    "{% for a in long %}{% for b in long %}{% for c in long %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in long %}{{ long }}{% endfor %}",
    "{% for a in long recursive %}{{ loop(long) }}{% endfor %}",
    "{% for a in long %}" * 19 + "{% endfor %}" * 19,
    "{% for a in long if long == long %}{% for b in long if a == b %}{% endfor %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set a %}{{ long }}{% endset %}",
    "{% include 'x' %}",
    "{% import 'os' as os %}",
    "{% extends 'x' %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ labels.__class__ ~ '' }}",
    "{{ labels['__class__']['__init__']['__globals__'] }}{{ labels.items() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self }}",
    "{{ loop }}",
    "{{ cycler }}",
    "{{ lipsum() }}",
    "{{ namespace }}",
    "{{ value | attr('__class__') }}",
    "{{ (value | map('upper')) }}",
    "{{ _named }}",
    "{{ _counted }}",
    "{{ long | _counted }}!",
    "{{" + "(" * 3000 + "1" + ")" * 3000 + "}}",
    "{{" + "-" * 3000 + "1}}",
    "{{" + "1" + "+1" * 3000 + "}}",
    "{% if 1 %}" * 400 + "{% endif %}" * 400,
    "{{ value" + "[0]" * 2000 + "}}",
    "{{ value" + "|upper" * 2000 + "}}",
]


@pytest.mark.parametrize("template", EVIL)
def test_a_template_that_would_run_away_is_stopped_soon_and_small(template):
    tracemalloc.start()
    begun = time.monotonic()
    try:
        with pytest.raises(TemplateFault):
            render(template, VALUES)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < 40 * MOST_SECONDS  # tracing makes it many times slower
    assert peak < 64 * 1024 * 1024


def test_a_template_is_stopped_by_the_clock_where_its_steps_are_dear():
    begun = time.monotonic()
    body = "{{ (long + long + long + long) | replace('xxxx', 'yyyy') | replace('y', 'x') | truncate(1) }}" * 30
    with pytest.raises(TemplateFault, match=r"steps|longer|characters"):
        render("{% for a in long %}" + body + "{% endfor %}", VALUES)
    assert time.monotonic() - begun < 40 * MOST_SECONDS


def test_a_check_names_what_is_unknown_without_any_value():
    check("{{ value }} {{ labels.any }}", {"value", "labels"})
    with pytest.raises(TemplateFault, match="names other, known are labels, value"):
        check("{{ other }}", {"value", "labels"})


def test_threads_have_budgets_of_their_own():
    found = []

    def many():
        found.extend(render("{% for a in long %}.{% endfor %}", VALUES) for _ in range(5))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["." * 4000] * 20


_WORDS = "{{ }} {% %} {# #} for in if endfor endif set long labels value n | ( ) [ ] . + - * ** ~ 'x' 9 , join items"


@given(st.lists(st.sampled_from(_WORDS.split()), max_size=14).map(" ".join))
def test_whatever_is_written_is_filled_in_or_a_fault(template):
    with suppress(TemplateFault):
        assert len(render(template, VALUES)) <= 20_000
