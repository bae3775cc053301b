"""What each participant is sent, and when a conversation is over."""

import itertools
from decimal import Decimal

import pytest

from proxy.crosstalk.document import CrosstalkDocument
from proxy.crosstalk.turns import request_body, speaker, why_over

ANN = {"name": "Ann", "model": "a"}
BOB = {"name": "Bob", "model": "b", "system": "Be brief.", "max_tokens": 7, "temperature": 0.5}
CID = {"name": "Cid", "model": "c"}


def document(*participants, **more) -> CrosstalkDocument:
    return CrosstalkDocument.model_validate({"topic": "T", "participants": participants or (ANN, BOB), **more})


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_a_request_has_what_its_participant_was_given_and_nothing_else():
    talk = document()
    assert request_body(talk, []) == {"model": "a", "max_tokens": 1024, "messages": [user("T")]}
    assert request_body(talk, ["one"]) == {
        "model": "b",
        "max_tokens": 7,
        "temperature": 0.5,
        "system": "Be brief.",
        "messages": [user("T\n\nAnn: one")],
    }


@pytest.mark.parametrize(
    ("texts", "messages"),
    [
        ([], [user("T")]),
        (["one"], [user("T\n\nAnn: one")]),
        (["one", "two"], [user("T"), assistant("one"), user("Bob: two")]),
        (["one", "two", "three"], [user("T\n\nAnn: one"), assistant("two"), user("Ann: three")]),
    ],
    ids=["first", "second", "third", "fourth"],
)
def test_in_a_relay_each_sees_all_with_its_own_turns_as_the_assistants(texts, messages):
    assert request_body(document(), texts)["messages"] == messages


def test_what_several_others_said_is_one_turn_with_their_names():
    talk = document(ANN, BOB, CID)
    assert request_body(talk, ["one", "two", "three"])["messages"] == [
        user("T"),
        assistant("one"),
        user("Bob: two\n\nCid: three"),
    ]
    assert request_body(talk, ["one", "two"])["messages"] == [user("T\n\nAnn: one\n\nBob: two")]


def test_in_a_debate_every_second_one_is_against_and_keeps_its_own_system_prompt():
    talk = document(ANN, BOB, CID, paradigm="debate")
    told = [request_body(talk, ["x"] * said)["system"] for said in range(3)]
    assert ["argue for it" in each for each in told] == [True, False, True]
    assert ["argue against it" in each for each in told] == [False, True, False]
    assert told[1].endswith("\n\nBe brief.")
    relay = document(ANN, BOB, CID)
    assert [request_body(talk, ["x"] * 4)["messages"]] == [request_body(relay, ["x"] * 4)["messages"]]


def test_in_a_chain_each_sees_the_topic_and_the_last_turn_alone():
    talk = document(paradigm="chain")
    assert request_body(talk, [])["messages"] == [user("T")]
    assert request_body(talk, ["one", "two", "three"])["messages"] == [user("T\n\nAnn: three")]


def test_roles_alternate_and_the_last_is_the_users_whoever_talks():
    for paradigm in ("relay", "debate", "chain"):
        for many in range(2, 9):
            people = [{"name": f"P{number}", "model": "m"} for number in range(many)]
            talk = document(*people, paradigm=paradigm)
            for said in range(20):
                roles = [each["role"] for each in request_body(talk, ["x"] * said)["messages"]]
                assert roles[0] == roles[-1] == "user"
                assert all(one != other for one, other in itertools.pairwise(roles))


def test_turns_go_round():
    talk = document(ANN, BOB, CID)
    assert [speaker(talk, turn).name for turn in range(1, 6)] == ["Ann", "Bob", "Cid", "Ann", "Bob"]


@pytest.mark.parametrize(
    ("more", "texts", "spent", "why"),
    [
        ({"max_turns": 2}, ["x"], None, ""),
        ({"max_turns": 2}, ["x", "y"], None, "max_turns"),
        ({"stop_phrase": "DONE"}, ["we are DONE."], None, "stop_phrase"),
        ({"stop_phrase": "DONE"}, ["done"], None, ""),
        ({"stop_phrase": "DONE"}, ["DONE", "no"], None, ""),  # only the last turn counts
        ({"stop_phrase": "DONE", "max_turns": 1}, ["DONE"], None, "stop_phrase"),
        ({"max_cost_usd": "0.5"}, ["x"], Decimal("0.499999999"), ""),
        ({"max_cost_usd": "0.5"}, ["x"], Decimal("0.5"), "max_cost"),
        ({"max_cost_usd": "0.5"}, [], None, ""),
        ({}, ["x"], Decimal(10**6), ""),
    ],
)
def test_when_it_is_over(more, texts, spent, why):
    assert why_over(document(**more), texts, spent) == why
