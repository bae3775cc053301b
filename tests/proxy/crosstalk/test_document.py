"""A conversation's document: what is taken, and which field is named where it is not."""

import pytest
from pydantic import ValidationError

from proxy.crosstalk.document import CrosstalkDocument, Paradigm

TWO = [{"name": "Ann", "model": "a"}, {"name": "Bob", "model": "b"}]


def test_what_is_left_out_has_a_usual_value():
    found = CrosstalkDocument.model_validate({"topic": "T", "participants": TWO})
    assert (found.paradigm, found.max_turns, found.max_cost_usd, found.stop_phrase) == (Paradigm.RELAY, 10, None, None)
    assert [each.max_tokens for each in found.participants] == [1024, 1024]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"topic": ""}, "topic"),
        ({"topic": " \n"}, "topic"),
        ({"topic": None}, "topic"),
        ({"participants": TWO[:1]}, "participants"),
        ({"participants": [*TWO, *({"name": f"P{n}", "model": "m"} for n in range(7))]}, "participants"),
        ({"participants": [TWO[0], TWO[0]]}, "participants"),
        ({"participants": [TWO[0], {"name": "Bob"}]}, "participants.1.model"),
        ({"participants": [TWO[0], {**TWO[1], "name": "B\nb"}]}, "participants.1.name"),
        ({"participants": [TWO[0], {**TWO[1], "name": "Bob "}]}, "participants.1.name"),
        ({"participants": [TWO[0], {**TWO[1], "system": " "}]}, "participants.1.system"),
        ({"participants": [TWO[0], {**TWO[1], "max_tokens": 0}]}, "participants.1.max_tokens"),
        ({"participants": [TWO[0], {**TWO[1], "temperature": 1.1}]}, "participants.1.temperature"),
        ({"paradigm": "shouting"}, "paradigm"),
        ({"max_turns": 0}, "max_turns"),
        ({"max_turns": 101}, "max_turns"),
        ({"max_cost_usd": 0}, "max_cost_usd"),
        ({"max_cost_usd": "NaN"}, "max_cost_usd"),
        ({"stop_phrase": ""}, "stop_phrase"),
        ({"project": "a\r\nb"}, "project"),
        ({"tags": {"A": "b"}}, "tags.A.[key]"),
        ({"tags": {"a": "b\nc"}}, "tags.a"),
        ({"tags": {f"t{n}": "x" for n in range(9)}}, "tags"),
        ({"api_key": "x"}, "api_key"),
    ],
)
def test_a_fault_names_its_field(change, field):
    with pytest.raises(ValidationError) as error:
        CrosstalkDocument.model_validate({"topic": "T", "participants": TWO, **change})
    assert [".".join(map(str, fault["loc"])) for fault in error.value.errors()] == [field]
