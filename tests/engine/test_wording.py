import pytest

from engine.wording import message

VALUES = {"value": "$2", "rule": "High cost", "team-name": "core", "labels": {"team-name": "core"}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("{{ rule }}: {{value}}", "High cost: $2"),
        ("{{ team-name }}", "core"),
        ("{% if labels.model %}{{ labels.model }}{% else %}all models{% endif %}", "all models"),
    ],
)
def test_a_message_is_filled_in(template, text):
    assert message(template, VALUES) == (text, "")


def test_a_broken_message_stays_as_written_and_is_flagged():
    assert message("call {{ bob }}", VALUES) == (
        "call {{ bob }}",
        "the message names bob, known are labels, rule, team-name, value",
    )
    text, flaw = message("{{ 'x' * 10**9 }}", VALUES)
    assert (text, flaw) == ("{{ 'x' * 10**9 }}", "the message: Pow is not possible in a template")
