"""Which calls are admitted."""

from datetime import timedelta

import pytest
from multidict import CIMultiDict, MultiDict

from data.config import KeysConfig
from data.model import Endpoint, Protocol
from proxy.admission.gate import Admitted, Gate, Refused, Wanted
from proxy.admission.keys import KeyRing, presented_key
from proxy.admission.shared_limits import SharedLimits
from tests.proxy.admission.keys import NOW, in_a_minute, key

AT = NOW.timestamp()
CALL = Wanted(Protocol.ANTHROPIC, Endpoint.MESSAGES, "claude-opus-4-5", 100)


def unnamed(endpoint: Endpoint, method: str = "POST") -> Wanted:
    return Wanted(Protocol.ANTHROPIC, endpoint, "", 0, method)


def gate(*stored, required: bool = True) -> Gate:
    ring = KeyRing()
    ring.replace(stored)
    return Gate(ring, KeysConfig(required=required))


def admit(at: Gate, text: str, wanted: Wanted = CALL, now_s: float = AT) -> Admitted | Refused:
    headers = CIMultiDict({"x-api-key": text} if text else {})
    return at.admit(wanted, at.caller(headers, MultiDict()), now_s=now_s, wall_s=now_s)


def code(answer: Admitted | Refused) -> tuple[int, str]:
    return (answer.status, answer.code) if isinstance(answer, Refused) else (200, "")


def test_a_key_is_admitted_with_what_it_says_of_its_calls():
    stored, text = key(owner="ann", team="core", project="web", tags={"env": "ci"})
    answer = admit(gate(stored), text)
    assert isinstance(answer, Admitted)
    forced = answer.key.forced
    assert (forced.key, forced.user, forced.team, forced.project, forced.tags) == (
        *("ci", "ann", "core", "web"),
        {"env": "ci"},
    )


@pytest.mark.parametrize("text", ["", "sk-ant-not-ours", "Bearer x"])
def test_without_a_key_where_one_is_needed(text: str):
    assert code(admit(gate(key()[0]), text)) == (401, "key_required")


def test_without_a_key_where_none_is_needed():
    assert isinstance(admit(gate(required=False), "sk-ant-callers-own"), Admitted)


@pytest.mark.parametrize("required", [True, False])
def test_a_key_nobody_knows_is_refused_everywhere(required: bool):  # noqa: FBT001
    assert code(admit(gate(key()[0], required=required), "cpk_" + "A" * 43)) == (401, "invalid_key")


def test_before_it_is_known_which_keys_there_are_none_is_admitted_and_none_called_wrong():
    assert code(admit(Gate(KeyRing(), KeysConfig(required=True)), key()[1])) == (503, "keys_unknown")


def test_a_disabled_a_revoked_and_an_expired_key():
    off, off_text = key("off", enabled=False)
    gone, gone_text = key("gone")
    gone = gone.model_copy(update={"revoked_at": NOW})
    old, old_text = key("old", expires_at=in_a_minute())
    at = gate(off, gone, old)
    assert code(admit(at, off_text)) == (401, "key_disabled")
    assert code(admit(at, gone_text)) == (401, "invalid_key")
    assert isinstance(admit(at, old_text, now_s=AT + 59.9), Admitted)
    assert code(admit(at, old_text, now_s=AT + 60)) == (401, "key_expired")


def test_an_old_secret_goes_on_until_its_overlap_ends():
    stored, new = key()
    older, old = key()
    old_secret = older.secrets[0].model_copy(update={"expires_at": NOW + timedelta(hours=1)})
    at = gate(stored.model_copy(update={"secrets": (*stored.secrets, old_secret)}))
    assert isinstance(admit(at, new), Admitted)
    assert isinstance(admit(at, old), Admitted)
    assert code(admit(at, old, now_s=AT + 3600)) == (401, "key_expired")
    assert isinstance(admit(at, new, now_s=AT + 3600), Admitted)


@pytest.mark.parametrize(
    ("document", "wanted", "expected"),
    [
        ({"models": ("claude-haiku-*",)}, CALL, (403, "model_not_allowed")),
        ({"models": ("gpt-*", "claude-opus-*")}, CALL, (200, "")),
        ({"endpoints": ("embeddings",)}, CALL, (403, "endpoint_not_allowed")),
        ({"endpoints": ("messages",)}, CALL, (200, "")),
        ({"models": ("gpt-*",)}, unnamed(Endpoint.MODELS, "GET"), (200, "")),
        ({"models": ("gpt-*",)}, unnamed(Endpoint.FILES), (200, "")),
        ({"models": ("gpt-*",)}, unnamed(Endpoint.BATCHES), (403, "model_not_allowed")),
        ({"models": ("gpt-*",)}, unnamed(Endpoint.BATCHES, "GET"), (200, "")),
        ({"models": ("gpt-*",)}, unnamed(Endpoint.OTHER), (403, "model_not_allowed")),
        ({"models": ("gpt-*",)}, unnamed(Endpoint.MESSAGES), (403, "model_not_allowed")),
        ({}, unnamed(Endpoint.BATCHES), (200, "")),
    ],
    ids=[
        *("model", "second pattern", "endpoint", "its endpoint", "a list of models names none", "nor do files"),
        *("a batch may ask for any", "its results ask for none", "other endpoints may ask for any", "unreadable body"),
        "a key for all models",
    ],
)
def test_what_a_key_may_ask_for(document, wanted: Wanted, expected: tuple[int, str]):
    stored, text = key(**document)
    assert code(admit(gate(stored), text, wanted)) == expected


def test_while_nobody_knows_what_was_used_only_limited_keys_are_refused(tmp_path):
    limited, limited_text = key("limited", max_parallel=5)
    free, free_text = key("free")
    ring = KeyRing(SharedLimits(tmp_path, "proxy").begin)  # it has not joined the others
    ring.replace((limited, free))
    at = Gate(ring, KeysConfig(required=True))
    refused = admit(at, limited_text)
    assert (code(refused), refused.headers["retry-after"]) == ((503, "limits_unknown"), "1")
    assert isinstance(admit(at, free_text), Admitted)


def test_a_key_at_its_limit_is_told_when_to_come_back():
    stored, text = key(requests_per_minute=1)
    at = gate(stored)
    assert isinstance(admit(at, text), Admitted)
    refused = admit(at, text, now_s=AT + 20)
    assert code(refused) == (429, "key_limit")
    assert refused.headers["retry-after"] == "41"
    assert refused.headers["retry-after-ms"] == "40250"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert refused.headers["anthropic-ratelimit-requests-reset"] == "2026-03-01T12:01:01Z"
    assert isinstance(admit(at, text, now_s=AT + 61), Admitted)


def test_openais_clients_are_told_in_their_headers():
    stored, text = key(tokens_per_minute=1000)
    answer = admit(gate(stored), text, Wanted(Protocol.OPENAI, Endpoint.CHAT_COMPLETIONS, "gpt-5", 400))
    assert answer.headers(Protocol.OPENAI, AT, AT) == {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "600",
        "x-ratelimit-reset-tokens": "1m0.25s",
    }


def test_a_call_gives_back_what_it_held_once():
    stored, text = key(max_parallel=1)
    at = gate(stored)
    answer = admit(at, text)
    assert code(admit(at, text)) == (429, "key_limit")
    answer.end(10, AT)
    answer.end(10, AT)
    assert isinstance(admit(at, text), Admitted)
    assert code(admit(at, text)) == (429, "key_limit")


def test_a_changed_key_keeps_what_it_has_used():
    stored, text = key(requests_per_minute=2)
    at = gate(stored)
    admit(at, text)
    changed = stored.model_copy(update={"document": stored.document.model_copy(update={"requests_per_minute": 1})})
    at.ring.replace([changed])
    assert code(admit(at, text)) == (429, "key_limit")


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"x-api-key": "cpk_a"}, {}, "cpk_a"),
        ({"X-Api-Key": "Bearer cpk_a"}, {}, "cpk_a"),
        ({"authorization": "Bearer cpk_a"}, {}, "cpk_a"),
        ({"authorization": "bearer  cpk_a "}, {}, "cpk_a"),
        ({"authorization": "cpk_a"}, {}, "cpk_a"),
        ({"x-goog-api-key": "cpk_a"}, {}, "cpk_a"),
        ({"api-key": "cpk_a"}, {}, "cpk_a"),
        ({}, {"key": "cpk_a"}, "cpk_a"),
        ([], [("key", "AIza"), ("key", "cpk_a")], "cpk_a"),
        ([("x-api-key", "sk-own"), ("x-api-key", "cpk_a")], {}, "cpk_a"),
        ({"x-claude-proxy-key": "cpk_a", "x-api-key": "sk-own"}, {}, "cpk_a"),
        ({"x-claude-proxy-key": "cpk_a", "x-api-key": "cpk_b"}, {}, "cpk_a"),
        ({"x-claude-proxy-key": "mistyped"}, {}, "mistyped"),
        ({"x-api-key": "sk-own", "authorization": "Bearer cpk_a"}, {}, "cpk_a"),
        ({"x-api-key": "sk-own"}, {"key": "AIza"}, ""),
        ({"user-agent": "cpk_a"}, {}, ""),
        ({}, {}, ""),
    ],
)
def test_where_a_key_is_looked_for(headers, query, found: str):
    assert presented_key(CIMultiDict(headers), MultiDict(query)) == found


def test_a_caller_is_asked_again_once_the_rules_or_the_keys_have_changed():
    at = gate(required=False)
    caller = at.caller(CIMultiDict(), MultiDict())
    assert at.is_known(caller)
    at.config = KeysConfig(required=True)
    assert not at.is_known(caller)
    caller = at.caller(CIMultiDict(), MultiDict())
    at.ring.replace([])
    assert not at.is_known(caller)
