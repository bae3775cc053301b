"""Who a call belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from proxy.attribution import Attribution, Forced, attribute, key_label, said_by

SESSION = "0f8fad5b-d9cb-469f-a165-70867728950e"
ACCOUNT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@pytest.mark.parametrize(
    ("user_id", "user", "session"),
    [
        (f"user_abc123_account_{ACCOUNT}_session_{SESSION}", ACCOUNT, SESSION),
        (f"user_abc123_account__session_{SESSION}", "abc123", SESSION),
        (f'{{"device_id":"d1","account_uuid":"{ACCOUNT}","session_id":"{SESSION}"}}', ACCOUNT, SESSION),
        (f'{{"device_id":"d1","session_id":"{SESSION}"}}', "d1", SESSION),
        (f'{{"device_id":"d1","account_uuid":"","session_id":"{SESSION}","parent_session_id":null}}', "d1", SESSION),
        ("someone@example.org", "someone@example.org", ""),
        ('{"session_id": 5}', "", ""),
        ("{broken", "", ""),
        ("", "", ""),
    ],
    ids=[
        "claude code",
        "without account",
        "json",
        "json without account",
        "json without parent",
        "plain",
        "wrong type",
        "broken",
        "none",
    ],
)
def test_the_user_and_the_session_of_a_user_id(user_id: str, user: str, session: str):
    found = attribute(said_by(CIMultiDict()), user_id)
    assert (found.user, found.session) == (user, session)


def test_headers_win_over_the_body():
    headers = CIMultiDict(
        {
            "X-Claude-Proxy-User": "ann",
            "X-Claude-Proxy-Team": "blue",
            "X-Claude-Proxy-Project": "apollo",
            "X-Claude-Code-Session-Id": "s-header",
            "X-Claude-Code-Agent-Id": "a1",
            "User-Agent": "claude-cli/2.0",
        }
    )
    assert attribute(said_by(headers), f"user_x_account__session_{SESSION}") == Attribution(
        user="ann", team="blue", project="apollo", session="s-header", agent="a1", user_agent="claude-cli/2.0"
    )


def test_an_explicit_session_wins_over_claude_codes():
    headers = CIMultiDict({"x-claude-proxy-session": "mine", "x-claude-code-session-id": "theirs"})
    assert attribute(said_by(headers)).session == "mine"


def test_a_sub_agents_calls_belong_to_its_session():
    main = {"X-Claude-Code-Session-Id": SESSION}
    agent = main | {"X-Claude-Code-Agent-Id": "a1"}
    nested = main | {"X-Claude-Code-Agent-Id": "a2", "X-Claude-Code-Parent-Agent-Id": "a1"}
    found = [attribute(said_by(CIMultiDict(headers))) for headers in (main, agent, nested)]
    assert {who.session for who in found} == {SESSION}
    assert [who.agent for who in found] == ["", "a1", "a2"]
    assert found[2].tags == {"parent_agent": "a1"}


@pytest.mark.parametrize(
    ("headers", "session", "agent"),
    [
        ({}, "parent", "child"),
        ({"x-claude-code-session-id": "child"}, "parent", "child"),
        ({"x-claude-code-session-id": "child", "x-claude-code-agent-id": "a1"}, "parent", "a1"),
        ({"x-claude-proxy-session": "mine"}, "mine", "child"),
    ],
    ids=["body alone", "header too", "with an agent", "of our own"],
)
def test_a_session_that_another_one_started_belongs_to_it(headers, session, agent):
    user_id = '{"device_id":"d","session_id":"child","parent_session_id":"parent"}'
    found = attribute(said_by(CIMultiDict(headers)), user_id)
    assert (found.session, found.agent, found.user) == (session, agent, "d")


def test_claude_codes_hints_become_tags():
    headers = {
        "x-claude-code-session-id": "s",
        "x-claude-code-request-class": "subagent",
        "x-claude-code-agent-type": "Explore",
        "x-claude-code-prev-tool-durations": "Bash=742;Read=9",
    }
    assert attribute(said_by(CIMultiDict(headers))).tags == {"request_class": "subagent", "agent_type": "Explore"}


@pytest.mark.parametrize(
    ("headers", "project"),
    [
        ({}, "path"),
        ({"x-claude-proxy-project": "header"}, "path"),
        ({"openai-project": "proj_1"}, "path"),
    ],
    ids=["path", "header", "openai"],
)
def test_the_project_of_a_path(headers, project):
    assert attribute(said_by(CIMultiDict(headers)), project="path").project == project


def test_an_openai_project_stands_in_where_nothing_else_is_said():
    headers = CIMultiDict({"OpenAI-Project": "proj_1", "OpenAI-Organization": "org_1"})
    found = attribute(said_by(headers))
    assert (found.project, found.team) == ("proj_1", "")


def test_what_a_virtual_key_says_wins():
    said = {f"x-claude-proxy-{name}": "said" for name in ("user", "team", "project", "session")}
    headers = CIMultiDict(said | {"x-claude-proxy-tags": "env=said,kept=1", "x-api-key": "secret"})
    forced = Forced(key="ci", user="ann", team="blue", project="apollo", tags={"env": "prod"})
    assert attribute(said_by(headers), "someone", project="path", forced=forced) == Attribution(
        key="ci", user="ann", team="blue", project="apollo", session="said", tags={"env": "prod", "kept": "1"}
    )


def test_what_a_virtual_key_does_not_say_is_left_to_the_call():
    headers = CIMultiDict({"x-claude-proxy-user": "ann", "x-claude-proxy-project": "apollo"})
    found = attribute(said_by(headers), forced=Forced(key="ci", team="blue"))
    assert (found.user, found.team, found.project) == ("ann", "blue", "apollo")


def test_a_tag_may_have_a_header_of_its_own():
    headers = {
        "X-Claude-Proxy-Tags": "env=dev, team=a",
        "X-Claude-Proxy-Tag-Env": " prod ",
        "x-claude-proxy-tag-Cost-Center": "42",
        "x-claude-proxy-tag-": "nameless",
        "x-claude-proxy-tag-empty": "",
    }
    found = attribute(said_by(CIMultiDict(headers))).tags
    assert found == {"env": "prod", "team": "a", "cost-center": "42", "empty": ""}


def test_tags_are_bounded():
    many = {f"x-claude-proxy-tag-{'n' * 80}{n}": "v" * 1000 for n in range(40)}
    found = attribute(said_by(CIMultiDict(many | {"x-claude-proxy-tags": "a=1"}))).tags
    assert found == {"a": "1", "n" * 64: "v" * 200}
    many = {f"x-claude-proxy-tag-{n}": "v" for n in range(40)}
    assert len(attribute(said_by(CIMultiDict(many))).tags) == 16
    forced = {f"forced-{n}": "v" for n in range(20)}
    assert len(attribute(said_by(CIMultiDict(many)), forced=Forced(tags=forced)).tags) == 36


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a=b,c=d", {"a": "b", "c": "d"}),
        (" a = b , c ", {"a": "b", "c": ""}),
        ("a=b=c,,=x", {"a": "b=c"}),
        (",".join(f"t{i}=v" for i in range(40)), {f"t{i}": "v" for i in range(16)}),
    ],
    ids=["pairs", "spaces", "odd", "too many"],
)
def test_tags(text: str, tags: dict[str, str]):
    assert attribute(said_by(CIMultiDict({"x-claude-proxy-tags": text}))).tags == tags


def test_a_key_has_one_label_whatever_header_carries_it_and_shows_nothing_of_it():
    label = key_label(CIMultiDict({"x-api-key": "sk-ant-secret"}))
    assert label == key_label(CIMultiDict({"Authorization": "Bearer sk-ant-secret"}))
    assert label == key_label(CIMultiDict({"X-Goog-Api-Key": "sk-ant-secret"}))
    assert label == key_label(CIMultiDict({"Api-Key": "sk-ant-secret"}))
    assert label == key_label(CIMultiDict(), URL("/v1beta/models/gemini-3:generateContent?alt=sse&key=sk-ant-secret"))
    assert label.startswith("key-")
    assert len(label) == len("key-") + 8
    assert "secret" not in label


def test_no_credential_has_no_label():
    assert key_label(CIMultiDict()) == key_label(CIMultiDict({"authorization": "Bearer "})) == ""
    assert key_label(CIMultiDict(), URL("/v1/messages?beta=true&key=")) == ""


def test_a_header_wins_over_the_querys_key():
    headers = CIMultiDict({"x-api-key": "one"})
    assert key_label(headers, URL("/v1?key=two")) == key_label(headers)


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_said_can_be_stored(user_id: str, said: str):
    names = ("x-claude-proxy-tags", "user-agent", "x-api-key", "x-claude-proxy-tag-a", "x-claude-code-session-id")
    found = attribute(said_by(CIMultiDict(dict.fromkeys(names, said))), user_id)
    for text in (found.user, found.session, found.agent, found.user_agent, *found.tags, *found.tags.values()):
        text.encode("utf-8")
