import json
from datetime import UTC, datetime

import msgspec
import pytest
from pydantic import ValidationError
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block

from engine.channels import Delivery
from engine.channels.http import HttpSender
from engine.channels.slack import SlackConfig, notify, payload
from engine.errors import DeliveryError
from engine.notice import ACKNOWLEDGEMENT, UNACKNOWLEDGED, NoticeStatus
from tests.engine.receivers import FIRING, NOON, receiving

POSTED = (200, {}, json.dumps({"ok": True, "channel": "C1", "ts": "1700000000.000100", "message": {"text": "x"}}))
RESOLVED = msgspec.structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON)
TAKEN = msgspec.structs.replace(FIRING, status=NoticeStatus.ACKNOWLEDGED, reason=ACKNOWLEDGEMENT)


def bot(url: str) -> SlackConfig:
    return SlackConfig(token="xoxb-1", channel="#ops", api_url=url.replace("/hook", "/api/"), allow_private=True)


def hook(url: str) -> SlackConfig:
    return SlackConfig(url=url, allow_private=True)


async def send(config, notice=FIRING, earlier=""):
    async with HttpSender(timeout_s=5) as http:
        return await notify(config, notice, Delivery("n-1", datetime.now(UTC), earlier=earlier), http)


async def failure(config, **options) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(config, **options)
    return caught.value


def checked(message):
    """The message's blocks, found fit by Slack's own library; raises where they break a limit."""
    (attachment,) = message["attachments"]
    blocks = Block.parse_all(attachment["blocks"])
    BlockAttachment(blocks=blocks, color=attachment["color"]).to_dict()
    for block, parsed in zip(attachment["blocks"], blocks, strict=True):
        assert parsed.to_dict() == block
    assert set(message) == {"text", "attachments"}
    return attachment["blocks"]


def test_a_message_says_what_how_much_since_when_and_where_to_click():
    blocks = checked(payload(FIRING))
    text = json.dumps(blocks, ensure_ascii=False)
    for said in (
        "High cost",
        "cost is $512.3 (threshold &gt; $500).",
        "$500",
        "gpt-5",
        "2026-03-01 12:00:00 UTC",
        "<http://app/alerts?alert=a-1|Acknowledge or resolve>",
        "<http://app/rules?rule=r-1|Rule>",
    ):
        assert said in text
    assert payload(FIRING)["text"] == "[FIRING] [HIGH] High cost (model=gpt-5)"
    assert payload(FIRING)["attachments"][0]["color"] == "#dc2626"
    assert payload(RESOLVED)["attachments"][0]["color"] == "#15803d"


def test_what_is_over_a_limit_is_cut_visibly_and_passes_slacks_own_checks():
    labels = {f"label-{n}": "<&>" * 2000 for n in range(40)}
    long = msgspec.structs.replace(
        FIRING, title="t" * 500, message="<&" * 5000, labels=labels, runbook="http://x/" * 999
    )
    blocks = checked(payload(long))
    kinds = [block["type"] for block in blocks]
    assert kinds == ["header", "section", "section", "context", "section"]
    assert blocks[0]["text"]["text"].endswith("[cut]")
    assert blocks[1]["text"]["text"].endswith("[cut]")
    assert len(blocks[2]["fields"]) == 10
    assert len(blocks[3]["elements"]) == 10
    assert "more [cut]" in blocks[3]["elements"][-1]["text"]
    for field in blocks[2]["fields"]:
        assert len(field["text"]) <= 2000
        assert "&l…" not in field["text"]


def test_a_value_cannot_call_a_channel_or_make_a_link():
    evil = msgspec.structs.replace(FIRING, title="<!channel>", labels={"model": "<http://evil|click>"})
    text = json.dumps(payload(evil))
    assert "<!channel>" not in text.replace('"text": "<!channel>", "emoji"', "")
    assert "<http://evil" not in text


async def test_a_webhook_gets_the_message():
    async with receiving((200, {}, "ok")) as receiver:
        receipt = await send(hook(receiver.url))
    checked(json.loads(receiver.got[0].body))
    assert (receipt.status, receipt.answer, receipt.provider_id) == (200, "ok", "")


@pytest.mark.parametrize(
    ("answer", "permanent", "gone"),
    [
        ((404, {}, "no_service"), True, True),
        ((410, {}, "channel_is_archived"), True, True),
        ((403, {}, "no_team"), True, True),
        ((403, {}, "action_prohibited"), True, False),
        ((400, {}, "invalid_payload"), True, False),
        ((500, {}, "rollup_error"), False, False),
    ],
)
async def test_a_webhooks_refusals(answer, permanent, gone):
    async with receiving(answer) as receiver:
        error = await failure(hook(receiver.url))
    assert (error.permanent, error.gone) == (permanent, gone)


async def test_a_bot_posts_and_keeps_the_messages_place():
    async with receiving(POSTED) as receiver:
        receipt = await send(bot(receiver.url))
    (got,) = receiver.got
    body = json.loads(got.body)
    assert (got.path, got.headers["authorization"]) == ("/api/chat.postMessage", "Bearer xoxb-1")
    assert body["channel"] == "#ops"
    checked({name: body[name] for name in ("text", "attachments")})
    assert receipt.provider_id == "C1:1700000000.000100:#ops"


@pytest.mark.parametrize("notice", [TAKEN, RESOLVED, msgspec.structs.replace(FIRING, reason=UNACKNOWLEDGED)])
async def test_a_bots_message_is_changed_in_place(notice):
    async with receiving(POSTED) as receiver:
        receipt = await send(bot(receiver.url), notice, "C1:1700000000.000100")
    (got,) = receiver.got
    body = json.loads(got.body)
    assert (got.path, body["channel"], body["ts"]) == ("/api/chat.update", "C1", "1700000000.000100")
    assert receipt.provider_id == "C1:1700000000.000100:#ops"


async def test_a_reminder_is_a_reply_that_everybody_sees_and_the_incident_keeps_its_message():
    other = (200, {}, json.dumps({"ok": True, "channel": "C1", "ts": "9.9"}))
    async with receiving(other) as receiver:
        receipt = await send(bot(receiver.url), msgspec.structs.replace(FIRING, reason="repeat"), "C1:1.1")
    body = json.loads(receiver.got[0].body)
    assert receiver.got[0].path == "/api/chat.postMessage"
    assert (body["channel"], body["thread_ts"], body["reply_broadcast"]) == ("C1", "1.1", True)
    assert receipt.provider_id == "C1:1.1"


async def test_a_message_that_cannot_be_changed_any_more_is_said_anew():
    refused = (200, {}, json.dumps({"ok": False, "error": "edit_window_closed"}))
    async with receiving(refused, POSTED) as receiver:
        receipt = await send(bot(receiver.url), RESOLVED, "C1:1.1")
    assert [got.path for got in receiver.got] == ["/api/chat.update", "/api/chat.postMessage"]
    assert receipt.provider_id == "C1:1700000000.000100:#ops"


def no(error):
    return 200, {}, json.dumps({"ok": False, "error": error})


REMINDER = msgspec.structs.replace(FIRING, reason="repeat")


@pytest.mark.parametrize("notice", [REMINDER, RESOLVED], ids=["repeat", "resolved"])
@pytest.mark.parametrize("error", ["is_archived", "channel_not_found", "not_in_channel", "token_revoked", "what?"])
async def test_what_is_refused_to_the_earlier_message_is_said_anew_and_says_nothing_of_the_channel(error, notice):
    async with receiving(no(error), POSTED) as receiver:
        receipt = await send(bot(receiver.url), notice, "C0:1.1:#ops")
    before, after = (json.loads(got.body) for got in receiver.got)
    assert (before["channel"], after["channel"], "thread_ts" in after) == ("C0", "#ops", False)
    assert receipt.provider_id == "C1:1700000000.000100:#ops"


async def test_what_passes_is_waited_for_and_not_said_twice():
    async with receiving(no("ratelimited"), POSTED) as receiver:
        fault = await failure(bot(receiver.url), notice=RESOLVED, earlier="C1:1.1:#ops")
    assert (len(receiver.got), fault.permanent) == (1, False)


@pytest.mark.parametrize("notice", [REMINDER, RESOLVED], ids=["repeat", "resolved"])
async def test_a_bot_that_posts_elsewhere_now_leaves_the_old_channel_alone(notice):
    async with receiving(POSTED) as receiver:
        await send(bot(receiver.url), notice, "C0:1.1:#before")
    (got,) = receiver.got
    assert (got.path, json.loads(got.body)["channel"]) == ("/api/chat.postMessage", "#ops")


@pytest.mark.parametrize("earlier", ["C1:1.1", "C1:1.1:#ops", "#ops:1.1:#else"], ids=["old id", "same", "by its id"])
async def test_a_message_in_the_channel_that_the_bot_posts_to_is_changed(earlier):
    async with receiving(POSTED) as receiver:
        await send(bot(receiver.url), RESOLVED, earlier)
    assert [got.path for got in receiver.got] == ["/api/chat.update"]


@pytest.mark.parametrize(
    ("error", "permanent", "gone"),
    [
        ("ratelimited", False, False),
        ("internal_error", False, False),
        ("channel_not_found", True, False),
        ("invalid_auth", True, False),
        ("not_in_channel", True, False),
        ("token_revoked", True, True),
        ("is_archived", True, True),
    ],
)
async def test_a_200_that_says_no(error, permanent, gone):
    async with receiving((200, {}, json.dumps({"ok": False, "error": error}))) as receiver:
        fault = await failure(bot(receiver.url))
    assert (fault.permanent, fault.gone, fault.status) == (permanent, gone, 200)
    assert error in str(fault)


@pytest.mark.parametrize("text", ["", "<html>", "[]", "1", '{"fine": true}', "null"])
async def test_an_answer_that_is_not_slacks_is_tried_again(text):
    async with receiving((200, {}, text)) as receiver:
        assert not (await failure(bot(receiver.url))).permanent


async def test_slacks_429_is_waited_for():
    async with receiving((429, {"Retry-After": "30"}, "")) as receiver:
        assert (await failure(bot(receiver.url))).retry_after == 30.0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": "https://hooks.slack.com/x", "token": "xoxb", "channel": "c"},
        {"token": "xoxb"},
        {"url": "https://hooks.slack.com/x", "channel": "c"},
        {"url": "hooks.slack.com/very-secret"},
        {"token": "x\ny", "channel": "c"},
    ],
)
def test_a_form_that_is_neither_webhook_nor_bot_is_refused(fields):
    with pytest.raises(ValidationError) as caught:
        SlackConfig(**fields)
    assert "very-secret" not in "".join(fault["msg"] for fault in caught.value.errors())
