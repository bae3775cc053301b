"""`claude-proxy keys`: from the first secret to the last word."""

import re
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from app import cli
from data import key_changes
from data.errors import ConflictError, KeyFault, NoSuchKey
from data.keys import KeyDocument, digest


@pytest.fixture
def ran(store, home):
    def run(*arguments):
        return CliRunner().invoke(cli.app, ["keys", *map(str, arguments), "--home", str(home)])

    return run


def test_a_key_is_made_as_it_was_asked_for_and_its_secret_alone_is_printed(ran, store):
    made = ran("create", "ci", "--owner", "ann", "--team", "core", "--tag", "env=ci", "--tag", "a=b=c", "--rpm", 5)
    assert made.exit_code == 0, made.output
    assert re.fullmatch(r"cpk_[\w-]{43}\n", made.stdout)
    assert "only time" in made.stderr
    key = key_changes.get(store, "ci")
    assert key.secrets[0].digest == digest(made.stdout.strip())
    assert (key.document.owner, key.document.team, key.document.requests_per_minute) == ("ann", "core", 5)
    assert key.document.tags == {"env": "ci", "a": "b=c"}


def test_what_a_key_may_do_and_until_when(ran, store):
    ran("create", "ci", "--model", "claude-*", "--model", "gpt-5", "--endpoint", "messages", "--expires", "30d")
    document = key_changes.get(store, "ci").document
    assert document.models == ("claude-*", "gpt-5")
    assert [str(endpoint) for endpoint in document.endpoints] == ["messages"]
    assert (document.expires_at - key_changes.get(store, "ci").created_at).days in {29, 30}


def test_a_key_is_changed_in_what_is_named_alone(ran, store):
    said = ("--owner", "ann", "--tag", "env=ci", "--model", "gpt-5", "--rpm", 5, "--tpm", 9)
    ran("create", "ci", *said, "--expires", "1d")
    routed = key_changes.parse(
        {**key_changes.get(store, "ci").document.model_dump(), "routes": [{"model": "*", "provider": "anthropic"}]},
        ["anthropic"],
    )
    before = key_changes.replace(store, "ci", routed, by="api", now=datetime.now(UTC))
    changed = ran("set", "ci", "--team", "core", "--project", "site", "--rpm", 0, "--parallel", 3, "--tag", "a=b=c")
    assert changed.exit_code == 0, changed.output
    assert changed.stdout == "ci is changed; every proxy knows within a second\n"
    after = key_changes.get(store, "ci")
    expected = {"team": "core", "project": "site", "requests_per_minute": None, "max_parallel": 3, "tags": {"a": "b=c"}}
    assert after.document == before.document.model_copy(update=expected)
    assert (after.secrets, after.version) == (before.secrets, before.version + 1)
    assert "key.replace" in store.sql("SELECT action FROM audit_log WHERE actor = 'cli'")["action"].to_list()


def test_what_a_key_says_can_be_taken_back(ran, store):
    said = ("--owner", "ann", "--tag", "a=b", "--model", "gpt-5", "--endpoint", "messages")
    ran("create", "ci", *said, "--expires", "1d")
    assert ran("disable", "ci").exit_code == 0
    nothing = ("--owner", "", "--tag", "", "--model", "", "--endpoint", "", "--expires", "never")
    assert ran("set", "ci", *nothing).exit_code == 0
    assert key_changes.get(store, "ci").document == KeyDocument(name="ci", enabled=False)
    assert ran("set", "ci", "--expires", "2d", "--endpoint", "messages", "--model", "claude-*").exit_code == 0
    document = key_changes.get(store, "ci").document
    assert (document.expires_at - datetime.now(UTC)).days == 1
    assert (document.models, [str(each) for each in document.endpoints]) == (("claude-*",), ["messages"])


def test_a_change_that_another_one_came_before_is_refused(store, ran, monkeypatch):
    ran("create", "ci")
    replacing = key_changes.replace

    def late(*given, **more):
        replacing(store, "ci", KeyDocument(name="ci", team="first"), by="api", now=datetime.now(UTC))
        return replacing(*given, **more)

    monkeypatch.setattr(key_changes, "replace", late)
    done = ran("set", "ci", "--team", "second")
    assert isinstance(done.exception, ConflictError)
    assert key_changes.get(store, "ci").document.team == "first"


def test_a_keys_life_in_commands(ran, store):
    first = ran("create", "ci").stdout.strip()
    second = ran("rotate", "ci", "--overlap", "1h").stdout.strip()
    assert [secret.digest for secret in key_changes.get(store, "ci").secrets] == [digest(second), digest(first)]
    assert ran("disable", "ci").exit_code == 0
    assert ran("list").stdout.startswith("disabled  " + second[:12])
    assert ran("enable", "ci").exit_code == 0
    shown = ran("show", "ci").stdout
    assert "active" in shown
    assert first[12:] not in shown
    assert second[12:] not in shown
    assert ran("revoke", "ci").exit_code == 0
    assert ran("list").stdout.startswith("revoked")


@pytest.mark.parametrize(
    ("arguments", "fault", "said"),
    [
        (("create", "a/b"), KeyFault, "name"),
        (("create", "x", "--rpm", 0), KeyFault, "requests_per_minute"),
        (("create", "x", "--tag", "lonely"), KeyFault, "name=value"),
        (("create", "x", "--expires", "soon"), KeyFault, "expires is not a duration"),
        (("create", "x", "--endpoint", "nothing"), KeyFault, "endpoints.0"),
        (("create", "ci"), ConflictError, "there already"),
        (("rotate", "ci", "--overlap", "-1h"), KeyFault, "overlap is not a duration"),
        (("set", "ci"), KeyFault, "nothing was said"),
        (("set", "ci", "--rpm", -1), KeyFault, "requests_per_minute"),
        (("set", "ci", "--endpoint", "nothing"), KeyFault, "endpoints.0"),
        (("set", "ci", "--tag", "lonely"), KeyFault, "name=value"),
        (("set", "ci", "--expires", "soon"), KeyFault, "expires is not a duration"),
        (("set", "nobody", "--team", "core"), NoSuchKey, "nobody"),
        (("disable", "nobody"), NoSuchKey, "nobody"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_fault_ends_the_command_in_plain_words(ran, arguments, fault, said):
    ran("create", "ci")
    done = ran(*arguments)
    assert done.exit_code == 1
    assert isinstance(done.exception, fault)
    assert said in str(done.exception)
