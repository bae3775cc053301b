"""What a virtual key may be, and how it is kept and changed in the real store, over the lean connection."""

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from data import key_changes
from data.connection import Connection
from data.errors import ConflictError, KeyFault, NoSuchKey
from data.key_changes import MAX_SECRETS
from data.keys import KeyDocument, digest, new_secret, status
from data.queries import keys as rows
from tests.conftest import ROOT

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def table(running, config):
    connection = Connection.open(config)
    yield connection
    connection.close()


def make(table, name="ci", **document):
    return key_changes.create(table, KeyDocument(name=name, **document), by="me", now=NOW)


def rotate(table, overlap=HOUR, now=NOW):
    return key_changes.rotate(table, "ci", by="me", now=now, overlap=overlap)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("ci", True),
        ("Team A+ci_2.x@y", True),
        ("", False),
        ("-ci", False),
        ("a/b", False),
        ("a\x00b", False),
        ("key-0123abcd", False),
        ("key-0123abcde", True),
        ("cpk_" + "a" * 43, False),
    ],
)
def test_what_a_key_may_be_called(name: str, *, good: bool):
    if good:
        assert KeyDocument(name=name).name == name
    else:
        with pytest.raises(ValidationError):
            KeyDocument(name=name)


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ({"ownr": "a"}, "ownr"),
        ({"owner": "a\nb"}, "owner"),
        ({"tags": {str(n): "x" for n in range(17)}}, "tags"),
        ({"models": [""]}, "models.0"),
        ({"endpoints": ["nothing"]}, "endpoints.0"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"requests_per_minute": True}, "requests_per_minute"),
        ({"tokens_per_minute": "5"}, "tokens_per_minute"),
        ({"max_parallel": 10**30}, "max_parallel"),
        ({"expires_at": "2026-12-01T00:00:00"}, "expires_at"),
        ({"routes": [{"provider": "x"}]}, "routes.0.model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_names_its_field(written: dict, field: str):
    with pytest.raises(KeyFault, match=re.escape(field)):
        key_changes.parse({"name": "ci", **written})


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({}, "routes.1.provider: is missing"),
        ({"provider": "x"}, "routes.1.provider: no provider 'x' (known: a, b)"),
        ({"targets": [{"provider": "a"}, {"provider": "x"}]}, "routes.1.targets.1.provider: no provider 'x'"),
        (
            {"provider": "a", "fallbacks": {"any": [{"provider": "x"}]}},
            "routes.1.fallbacks.any.0.provider: no provider",
        ),
        ({"provider": "a", "targets": [{"provider": "b"}]}, "routes.1.targets: write either a provider or"),
    ],
    ids=["no provider", "unknown", "unknown target", "unknown fallback", "both"],
)
def test_a_keys_routes_are_held_to_what_the_configurations_are(route: dict, told: str):
    good = {"model": "*", "provider": "a", "fallbacks": {"any": [{"provider": "b"}]}}
    assert key_changes.parse({"name": "ci", "routes": [good]}, ["a", "b"]).routes[0].provider == "a"
    with pytest.raises(KeyFault, match=re.escape(told)):
        key_changes.parse({"name": "ci", "routes": [good, {"model": "*", **route}]}, ["a", "b"])


def test_secrets_are_random_and_only_their_digest_is_kept():
    (one, kept), (other, _) = new_secret(), new_secret()
    assert one != other
    assert re.fullmatch(r"cpk_[A-Za-z0-9_-]{43}", one)
    assert kept.digest == digest(one)
    assert kept.shown == one[:12]


def test_the_store_never_holds_a_secret(table):
    (_, first), (_, second) = make(table), rotate(table)
    everything = str(table.rows("SELECT * FROM api_keys")) + str(table.rows("SELECT * FROM audit_log"))
    for secret in (first, second):
        assert digest(secret) in everything
        assert secret[13:] not in everything


def test_a_name_is_not_used_twice_even_after_revocation(table):
    make(table)
    with pytest.raises(ConflictError, match="'ci'"):
        make(table)
    key_changes.revoke(table, "ci", by="me", now=NOW)
    with pytest.raises(ConflictError):
        make(table)
    with pytest.raises(NoSuchKey):
        key_changes.get(table, "nobody")


def test_a_longer_overlap_prolongs_no_secret_that_was_to_end(table):
    make(table)
    rotate(table, HOUR)
    key, _ = rotate(table, 10 * HOUR)
    assert [secret.expires_at for secret in key.secrets] == [None, NOW + 10 * HOUR, NOW + HOUR]


def test_secrets_do_not_pile_up(table):
    make(table)
    for _ in range(MAX_SECRETS - 1):
        rotate(table)
    with pytest.raises(KeyFault, match="5 secrets that still hold"):
        rotate(table)
    assert len(rotate(table, now=NOW + HOUR)[0].secrets) == 2
    assert len(rotate(table, timedelta(0))[0].secrets) == 1


def test_switching_to_what_is_so_already_changes_nothing(table):
    made, _ = make(table)
    assert key_changes.switch(table, "ci", enabled=True, by="me", now=NOW) == made
    off = key_changes.switch(table, "ci", enabled=False, by="me", now=NOW)
    assert status(off, NOW) == "disabled"
    assert key_changes.switch(table, "ci", enabled=False, by="me", now=NOW) == off
    assert [line["action"] for line in table.rows("SELECT action FROM audit_log")] == ["key.create", "key.disable"]


def test_an_edit_does_not_switch_a_key_on_that_is_off(table):
    make(table)
    key_changes.switch(table, "ci", enabled=False, by="me", now=NOW)
    edited = key_changes.replace(table, "ci", key_changes.parse({"name": "ci", "team": "x"}), by="me", now=NOW)
    assert (edited.document.team, edited.document.enabled) == ("x", False)
    on = key_changes.parse({"name": "ci", "enabled": True})
    assert key_changes.replace(table, "ci", on, by="me", now=NOW).document.enabled


def test_the_audit_log_tells_what_was_changed(table):
    make(table, owner="ann")
    key_changes.replace(table, "ci", KeyDocument(name="ci", models=("gpt-*",)), by="bob", now=NOW)
    told = [(line["actor"], line["detail"]) for line in table.rows("SELECT actor, detail FROM audit_log ORDER BY id")]
    assert [actor for actor, _ in told] == ["me", "bob"]
    assert '"owner":"ann"' in told[0][1]
    assert '"models":["gpt-*"]' in told[1][1]


def test_the_stamp_differs_after_every_change(table):
    seen = [rows.stamp(table)]
    for change in (
        lambda: make(table),
        lambda: key_changes.replace(table, "ci", KeyDocument(name="ci", owner="bob"), by="me", now=NOW),
        lambda: rotate(table),
        lambda: key_changes.switch(table, "ci", enabled=False, by="me", now=NOW),
        lambda: key_changes.revoke(table, "ci", by="me", now=NOW),
    ):
        change()
        seen.append(rows.stamp(table))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("module", ["proxy.program", "proxy.__main__"])
def test_a_proxy_loads_neither_polars_nor_sqlalchemy(module):
    heavy = {"polars", "sqlalchemy", "pandas", "duckdb"}
    script = f"import sys, {module}; print(*sorted({heavy} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
