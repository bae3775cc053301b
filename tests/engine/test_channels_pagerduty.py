import json
from datetime import UTC, datetime

import msgspec
import pytest
from pydantic import ValidationError

from engine.channels import Delivery, pagerduty
from engine.channels.channel import ANSWER_CHARS
from engine.channels.http import HttpSender
from engine.channels.pagerduty import PagerDutyConfig, notify
from engine.errors import DeliveryError
from engine.notice import ACKNOWLEDGEMENT, NoticeStatus
from engine.sending import SEND_TIMEOUT_S
from tests.engine.receivers import FIRING, NOON, receiving

ACCEPTED = (202, {}, json.dumps({"status": "success", "message": "Event processed", "dedup_key": "a-1"}))
RESOLVED = msgspec.structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON)
TAKEN = msgspec.structs.replace(FIRING, status=NoticeStatus.ACKNOWLEDGED, reason=ACKNOWLEDGEMENT)


def config(url: str = "http://127.0.0.1:9/", **changes) -> PagerDutyConfig:
    return PagerDutyConfig(**{"routing_key": "R" * 32, "api_url": url, "allow_private": True, **changes})


async def sent(notice, *plan):
    """The event that arrives, checked against what PagerDuty publishes of the Events API v2, and the receipt."""
    async with receiving(*(plan or (ACCEPTED,))) as receiver, HttpSender(timeout_s=5) as http:
        receipt = await notify(config(receiver.url), notice, Delivery("n-1", datetime.now(UTC)), http)
    (got,) = receiver.got
    assert len(got.body) < 512 * 1024
    event = json.loads(got.body)
    require_valid(event)
    return event, receipt


def require_valid(event):
    known = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
    assert event.keys() <= known
    assert len(event["routing_key"]) == 32
    assert event["event_action"] in {"trigger", "acknowledge", "resolve"}
    assert 0 < len(event["dedup_key"]) <= 255
    if event["event_action"] != "trigger":
        return
    payload = event["payload"]
    fields = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
    assert {"summary", "source", "severity"} <= payload.keys() <= fields
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["severity"] in {"critical", "error", "warning", "info"}
    assert datetime.fromisoformat(payload["timestamp"]).tzinfo
    assert isinstance(payload["custom_details"], dict)
    for link in event["links"]:
        assert link.keys() == {"href", "text"}


async def test_an_alert_says_what_how_much_since_when_and_where_to_click():
    event, receipt = await sent(FIRING)
    assert (event["event_action"], event["dedup_key"], event["client_url"]) == ("trigger", "a-1", FIRING.alert_url)
    assert event["payload"]["summary"] == "[FIRING] [HIGH] High cost (model=gpt-5): cost is $512.3 (threshold > $500)."
    assert event["payload"]["component"] == "gpt-5"
    assert event["payload"]["custom_details"] == {
        "value": "$512.30",
        "threshold": "$500.00",
        "since": "2026-03-01 12:00:00 UTC",
        "message": "cost is $512.3 (threshold > $500).",
        "labels": {"model": "gpt-5"},
    }
    assert event["links"] == [{"href": FIRING.rule_url, "text": "Rule"}]
    assert (receipt.status, receipt.provider_id) == (202, "a-1")


@pytest.mark.parametrize(("notice", "action"), [(FIRING, "trigger"), (TAKEN, "acknowledge"), (RESOLVED, "resolve")])
async def test_an_incident_keeps_its_key_from_trigger_to_resolve(notice, action):
    event, _ = await sent(notice)
    assert (event["event_action"], event["dedup_key"]) == (action, "a-1")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("critical", "critical"), ("high", "error"), ("medium", "warning"), ("low", "info"), ("info", "info")],
)
async def test_severities(ours, theirs):
    event, _ = await sent(msgspec.structs.replace(FIRING, severity=ours))
    assert event["payload"]["severity"] == theirs


async def test_what_is_about_no_incident_has_the_notifications_own_key():
    event, _ = await sent(msgspec.structs.replace(FIRING, alert_id=""))
    assert event["dedup_key"] == "n-1"
    assert "test" not in event["payload"]["custom_details"]


async def tried(*plan):
    """The events that a test sends, and what comes of it."""
    async with receiving(*plan) as receiver, HttpSender(timeout_s=5) as http:
        test = msgspec.structs.replace(FIRING, test=True)
        try:
            made = await notify(config(receiver.url), test, Delivery("n-1", datetime.now(UTC)), http)
        except DeliveryError as error:
            made = error
    events = [json.loads(got.body) for got in receiver.got]
    for event in events:
        require_valid(event)
    return events, made


async def test_a_test_is_marked_and_resolved_again_at_once():
    (trigger, resolve), receipt = await tried((202, {}, "opened"), (202, {}, "closed"))
    assert trigger["payload"]["summary"].startswith("[TEST] [HIGH] High cost")
    assert trigger["payload"]["custom_details"]["test"] is True
    assert "This is a test" in trigger["payload"]["custom_details"]["message"]
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == receipt.provider_id == "test-n-1"
    assert (receipt.status, receipt.answer) == (202, "trigger: 202 opened\nresolve: 202 closed")


async def test_both_answers_of_a_test_are_kept_however_long():
    _, receipt = await tried((202, {}, "o" * 600), (202, {}, "c" * 600))
    assert len(receipt.answer) <= ANSWER_CHARS
    assert "trigger: 202 ooo" in receipt.answer
    assert "resolve: 202 ccc" in receipt.answer


async def test_a_test_that_is_refused_resolves_nothing():
    (trigger,), failure = await tried((400, {}, "invalid key"))
    assert trigger["event_action"] == "trigger"
    assert (failure.status, failure.permanent) == (400, True)


async def test_a_test_that_stays_open_says_so():
    events, failure = await tried((202, {}, "opened"), (400, {}, "no"))
    assert len(events) == 2
    assert "resolve test-n-1 in PagerDuty" in str(failure)
    assert failure.answer == "trigger: 202 opened\nresolve: 400 no"


async def test_a_test_that_is_not_resolved_in_time_says_so(monkeypatch):
    monkeypatch.setattr(pagerduty, "RESOLVE_TIMEOUT_S", 0.1)
    _, failure = await tried((202, {}, "opened"), "hang")
    said = "the test was triggered but not resolved, resolve test-n-1 in PagerDuty: no answer within 0.1 s"
    assert (str(failure), failure.permanent) == (said, False)
    assert failure.answer == "trigger: 202 opened\nresolve: no answer within 0.1 s"


async def test_a_test_that_is_not_answered_in_time_says_what_may_be_open(monkeypatch):
    monkeypatch.setattr(pagerduty, "TRIGGER_TIMEOUT_S", 0.1)
    _, failure = await tried("hang")
    assert str(failure) == "no answer within 0.1 s; if test-n-1 is open in PagerDuty, resolve it there"


def test_both_sends_of_a_test_have_their_time_before_that_of_any_send_is_over():
    assert pagerduty.TRIGGER_TIMEOUT_S + pagerduty.RESOLVE_TIMEOUT_S < SEND_TIMEOUT_S


async def test_what_is_over_a_limit_is_cut_visibly():
    labels = {f"l{n}": "ü" * 20_000 for n in range(60)}
    event, _ = await sent(msgspec.structs.replace(FIRING, summary="s" * 5000, message="m" * 900_000, labels=labels))
    assert event["payload"]["summary"].endswith("[cut]")
    assert event["payload"]["custom_details"]["message"].endswith("[cut]")
    assert len(event["payload"]["custom_details"]["labels"]) == 60


@pytest.mark.parametrize(
    ("answer", "permanent", "wait"),
    [(400, True, None), ((429, {"Retry-After": "9"}, ""), False, 9.0), (500, False, None), (503, False, None)],
)
async def test_what_an_answer_means(answer, permanent, wait):
    with pytest.raises(DeliveryError) as caught:
        await sent(FIRING, answer)
    assert (caught.value.permanent, caught.value.retry_after) == (permanent, wait)


@pytest.mark.parametrize("key", ["", "two words", "k/n", "x" * 101])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(ValidationError):
        config(routing_key=key)
