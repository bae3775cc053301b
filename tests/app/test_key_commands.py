"""`claude-proxy keys`: from the first secret to the last word."""

import re

import pytest
from typer.testing import CliRunner

from app import cli
from data import key_changes
from data.errors import ConflictError, KeyFault, NoSuchKey
from data.keys import digest


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
