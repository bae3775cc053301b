"""What a line of a session log tells of a call."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.imports.claude_code import Call, Line, Transcript, better, project_of
from tests.data.imports.logs import assistant, message_id, stamp, usage, user

PARTS = ("projects", "-home-ann-apollo", "session.jsonl")
NOON = 1_772_366_400_000_000
SECOND = 1_000_000


def read(*lines, parts=PARTS, written_at=0):
    """What each line tells, in one file."""
    transcript = Transcript(parts, written_at)
    return [transcript.read(line if isinstance(line, bytes) else json.dumps(line).encode()) for line in lines]


def test_an_answers_line():
    _, call = read(user(5), assistant(5, usage=usage(7, 8, service_tier="standard")))
    assert call == Call(
        key=message_id(5),
        ended_at=NOON + 5 * SECOND,
        started_at=NOON + 4 * SECOND,
        message_id=message_id(5),
        request_id="req_5",
        model="claude-opus-4-5-20251101",
        stop_reason="end_turn",
        usage='{"input_tokens": 7, "output_tokens": 8, "service_tier": "standard"}',
        session="session",
        agent="",
        cwd="/home/ann/apollo",
        project="apollo",
        branch="main",
        version="2.1.280",
        copied=False,
        sidechain=False,
        written_at=0,
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (user(1), Line.OTHER),
        ({"type": "summary", "summary": "x", "leafUuid": "y"}, Line.OTHER),
        ({"type": "file-history-snapshot", "snapshot": {"timestamp": "?"}}, Line.OTHER),
        ({"type": "progress", "data": {"type": "hook_progress", "message": "running"}}, Line.OTHER),
        (assistant(1, usage={}), Line.OTHER),
        (assistant(1, usage=usage(0, 0)), Line.OTHER),
        (assistant(1, usage="many"), Line.OTHER),
        (assistant(1, usage={"input_tokens": "7", "output_tokens": True}), Line.OTHER),
        (assistant(1, model="<synthetic>"), Line.SYNTHETIC),
        (assistant(1, isApiErrorMessage=True), Line.SYNTHETIC),
        (assistant(1, timestamp="yesterday"), Line.UNREADABLE),
        (assistant(1, timestamp=5), Line.UNREADABLE),
        (assistant(1, timestamp="1969-12-31T00:00:00Z"), Line.UNREADABLE),
        (assistant(1, timestamp="9999-12-31T23:59:59-14:00"), Line.UNREADABLE),
        (assistant(1, usage=usage(iterations=[{"type": "message"}] * 5000)), Line.UNREADABLE),
        ({"type": "assistant", "message": "hi", "timestamp": stamp(1)}, Line.UNREADABLE),
        (b"{not json", Line.UNREADABLE),
        (b"[1,2,3]", Line.UNREADABLE),
        (b'"text"', Line.UNREADABLE),
        (b"\xff\xfe", Line.UNREADABLE),
        (b"[" * 100_000, Line.UNREADABLE),
        (b'{"type":' + b"[" * 100_000, Line.UNREADABLE),
    ],
    ids=str,
)  # fmt: skip
def test_lines_that_tell_of_no_call(line, found):
    assert read(line) == [found]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"agentId": "a1", "isSidechain": True}, {"agent": "a1", "sidechain": True}),
        ({"isSidechain": True}, {"agent": "sidechain", "sidechain": True}),
        ({"forkedFrom": {"sessionId": "origin", "messageUuid": "m"}}, {"session": "origin", "copied": True}),
        ({"forkedFrom": "odd"}, {"session": "session", "copied": False}),
        ({"sessionId": None}, {"session": "session"}),
        ({"version": 5, "gitBranch": ["x"], "cwd": {}}, {"version": "", "branch": "", "project": ""}),
        ({"requestId": None}, {"request_id": "", "key": message_id(5)}),
        ({"id": None}, {"message_id": "", "key": "req_5"}),
        ({"id": "relay"}, {"key": "relay req_5"}),
        ({"id": "relay", "requestId": None}, {"key": "relay a-5"}),
        ({"model": "a\u0000b"}, {"model": "a b"}),
        ({"timestamp": "2026-03-01T13:00:05+01:00"}, {"ended_at": NOON + 5 * SECOND}),
        ({"durationMs": 2500}, {"started_at": NOON + 2_500_000}),
        ({"durationMs": -1}, {"started_at": NOON + 4 * SECOND}),
    ],
    ids=str,
)
def test_a_field_of_an_answers_line(changes, expected):
    line = json.dumps(assistant(5, **changes)).encode()
    _, call = read(user(5), line)
    assert {name: getattr(call, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("parts", "session", "agent"),
    [
        (("p", "s1.jsonl"), "s1", ""),
        (("p", "agent-a1.jsonl"), "", "a1"),
        (("p", "s1", "subagents", "agent-a1.jsonl"), "s1", "a1"),
        (("p", os.fsdecode(b"caf\xe9.jsonl")), "caf?", ""),
    ],
)
def test_what_the_files_place_tells_where_its_lines_do_not(parts, session, agent):
    (call,) = read(assistant(1, sessionId=None), parts=parts)
    assert (call.session, call.agent) == (session, agent)


def test_a_sub_agents_line_inside_a_line_of_its_parent():
    inner = {name: value for name, value in assistant(5).items() if name in ("type", "message", "requestId", "uuid")}
    outer = user(5, type="progress", cwd="/home/ann/apollo", data={"agentId": "a1", "message": inner})
    (call,) = read(outer)
    assert (call.key, call.agent, call.session, call.copied) == (message_id(5), "a1", "session", True)
    assert call.ended_at == NOON + 4 * SECOND


def test_a_call_begins_with_the_line_before_its_first_one():
    lines = [
        user(5),
        assistant(5, uuid="a"),
        assistant(5, uuid="b", parentUuid="a", timestamp=stamp(7)),
        user(6, uuid="result", parentUuid="b", timestamp=stamp(8)),
        # its tool ran while it was still written
        assistant(5, uuid="c", parentUuid="result", timestamp=stamp(9)),
        assistant(9, parentUuid="result", timestamp=stamp(12)),
    ]
    found = read(*lines)
    starts = [(call.started_at - NOON) // SECOND for call in found if isinstance(call, Call)]
    assert starts == [4, 4, 4, 8]


@pytest.mark.parametrize("parent", ["nobody", None, 5], ids=str)
def test_when_a_call_began_may_be_unknown(parent):
    _, call = read(user(5), assistant(5, parentUuid=parent))
    assert call.started_at == 0


def test_a_parent_of_hours_before_is_no_beginning():
    _, call = read(user(5, timestamp="2026-03-01T03:00:00Z"), assistant(5))
    assert call.started_at == 0


def test_a_relay_that_gives_all_answers_one_id_has_calls_all_the_same():
    lines = [
        user(1),
        assistant(1, id="relay", requestId=None, uuid="a"),
        assistant(1, id="relay", requestId=None, uuid="b", parentUuid="a"),
        user(2, uuid="r", parentUuid="b"),
        assistant(2, id="relay", requestId=None, uuid="c", parentUuid="r"),
        # a copy that lost its parents
        assistant(2, id="relay", requestId=None, uuid="d", parentUuid=None),
    ]
    keys = [call.key for call in read(*lines) if isinstance(call, Call)]
    assert keys == ["relay a", "relay a", "relay c", "relay c"]


def calls(*changes):
    return [read(assistant(1, **each), written_at=each.pop("written_at", 0))[0] for each in changes]


@pytest.mark.parametrize(
    ("worse", "best"),
    [
        ({"usage": usage(100, 2)}, {"usage": usage(100, 90)}),
        ({"usage": usage(1, 9)}, {"usage": usage(2, 9)}),
        ({"usage": usage()}, {"usage": usage(server_tool_use={"web_search_requests": 1})}),
        ({"stop_reason": None}, {}),
        ({"isSidechain": True}, {}),
        ({"forkedFrom": {"sessionId": "s"}}, {}),
        ({"sessionId": "t"}, {"sessionId": "s"}),
        ({"timestamp": stamp(1)}, {"timestamp": stamp(2)}),
        # counts say more than anything else
        ({"usage": usage(100, 2)}, {"usage": usage(100, 90), "stop_reason": None, "isSidechain": True}),
    ],
    ids=str,
)
def test_which_word_on_a_call_is_taken(worse, best):
    one, other = calls(worse, best)
    assert better(one, other) == better(other, one) == other


def test_of_equal_words_that_of_the_file_written_first_is_taken():
    (one,), (other,) = read(assistant(1, sessionId="b"), written_at=1), read(assistant(1, sessionId="a"), written_at=2)
    assert better(one, other) == better(other, one) == one


counts = st.integers(0, 3)
words = st.builds(
    lambda out, stop, side, session, second: assistant(
        1, usage=usage(1, out), stop_reason=stop, isSidechain=side, sessionId=session, timestamp=stamp(second)
    ),
    counts,
    st.sampled_from([None, "end_turn"]),
    st.booleans(),
    st.sampled_from("ab"),
    counts,
)


@given(st.lists(words, min_size=1, max_size=6), st.randoms())
def test_the_best_word_is_the_same_in_any_order(lines, random):
    def best(of):
        first, *rest = read(*of)
        for each in rest:
            first = better(first, each)
        return first

    mixed = lines + lines[:2]
    random.shuffle(mixed)
    # when it began follows from the lines before
    assert best(mixed).usage == best(lines).usage
    assert best(mixed).session == best(lines).session
    assert best(mixed).ended_at == best(lines).ended_at


@pytest.mark.parametrize(
    ("cwd", "project"),
    [
        ("/home/ann/code/apollo", "apollo"),
        ("/home/ann/code/apollo/web/src", "apollo"),
        ("/home/ann/other", "other"),
        ("C:\\Users\\bob\\shop\\api", "shop"),
        ("C:\\Users\\bob\\else", "else"),
        ("/home/ann/code/apollo-2", "apollo-2"),
        ("", ""),
        ("/", ""),
    ],
)
def test_the_project_is_the_folder_that_claude_code_was_started_in(cwd, project):
    folders = frozenset({"projects", "-home-ann-code-apollo", "C--Users-bob-shop"})
    assert project_of(cwd, folders) == project


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["type", "uuid", "timestamp", "message", "data", "forkedFrom", "sessionId", "cwd", "agentId", "durationMs"]


@given(
    st.dictionaries(st.sampled_from(NAMES), values, max_size=4),
    st.dictionaries(st.sampled_from(["id", "model", "usage", "stop_reason"]), values, max_size=3),
)
def test_whatever_a_line_holds_is_a_call_or_none(odd, inside):
    line = assistant(1)
    line["message"] |= inside
    found = read(line | odd, json.dumps(line | odd).encode()[:-3])
    assert all(isinstance(each, Call | Line) for each in found)
