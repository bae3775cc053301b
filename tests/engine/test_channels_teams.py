import json
from datetime import UTC, datetime

import msgspec
import pytest
from pydantic import ValidationError

from engine.channels import Delivery
from engine.channels.http import HttpSender
from engine.channels.teams import TeamsConfig, notify
from engine.errors import DeliveryError
from engine.notice import NoticeStatus
from tests.engine.receivers import FIRING, NOON, receiving

RESOLVED = msgspec.structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON)
#: Elements of adaptive cards up to version 1.2, with their required properties.
ELEMENTS = {
    "AdaptiveCard": {"version"},
    "Container": {"items"},
    "RichTextBlock": {"inlines"},
    "TextRun": {"text"},
    "FactSet": {"facts"},
    "Action.OpenUrl": {"url"},
}
STYLES = {"default", "emphasis", "good", "attention", "warning", "accent"}


async def posted(notice, answer=(202, {}, "")):
    """The card that arrives, checked against the schema's rules."""
    async with receiving(answer) as receiver, HttpSender(timeout_s=5) as http:
        config = TeamsConfig(url=receiver.url, allow_private=True)
        await notify(config, notice, Delivery("n-1", datetime.now(UTC)), http)
    (got,) = receiver.got
    assert len(got.body) <= 28 * 1024
    message = json.loads(got.body)
    (attachment,) = message["attachments"]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    require_valid(attachment["content"])
    return attachment["content"]


def require_valid(element):
    if isinstance(element, list):
        for each in element:
            require_valid(each)
        return
    if not isinstance(element, dict):
        return
    if "type" in element:
        assert ELEMENTS[element["type"]] <= element.keys()
    if element.get("type") == "AdaptiveCard":
        assert element["version"] == "1.2"
    if "style" in element:
        assert element["style"] in STYLES
    if "url" in element:
        assert element["url"].startswith("http")
    for each in element.values():
        require_valid(each)


async def test_a_card_says_what_how_much_since_when_and_where_to_click():
    card = await posted(FIRING)
    text = json.dumps(card["body"])
    for said in ("[FIRING] [HIGH] High cost (model=gpt-5)", FIRING.summary, "$500.00", "2026-03-01 12:00:00 UTC"):
        assert said in text
    assert [(action["title"], action["url"]) for action in card["actions"]] == [
        ("Acknowledge or resolve", FIRING.alert_url),
        ("Rule", FIRING.rule_url),
    ]


@pytest.mark.parametrize(
    ("notice", "style"),
    [
        (FIRING, "attention"),
        (msgspec.structs.replace(FIRING, severity="medium"), "warning"),
        (msgspec.structs.replace(FIRING, severity="info"), "emphasis"),
        (RESOLVED, "good"),
    ],
)
async def test_the_colour_follows_severity_and_end(notice, style):
    assert (await posted(notice))["body"][0]["style"] == style


async def test_a_large_card_is_cut_visibly_and_its_links_stay_whole():
    labels = {f"l{n}": "ü" * 4000 for n in range(40)}
    card = await posted(msgspec.structs.replace(FIRING, message="m" * 60_000, labels=labels))
    assert "[cut]" in json.dumps(card["body"], ensure_ascii=False)
    assert card["actions"][0]["url"] == FIRING.alert_url


async def test_a_value_makes_no_link():
    card = await posted(msgspec.structs.replace(FIRING, labels={"model": "[click](http://evil.example)"}))
    assert "](" not in json.dumps(card["body"][-1], ensure_ascii=False)


@pytest.mark.parametrize(
    ("answer", "permanent", "status"),
    [
        (
            (
                200,
                {},
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with",
            ),
            False,
            429,
        ),
        ((200, {}, "Microsoft Teams endpoint returned HTTP error 503"), False, 503),
        ((200, {}, "Microsoft Teams endpoint returned HTTP error 403"), True, 403),
        ((202, {}, '{"error": {"statusCode": 429, "message": "slow down"}}'), False, 429),
        ((429, {}, ""), False, 429),
        ((400, {}, "TriggerInputSchemaMismatch"), True, 400),
    ],
)
async def test_a_refusal_is_seen_even_in_a_good_answer(answer, permanent, status):
    with pytest.raises(DeliveryError) as caught:
        await posted(FIRING, answer)
    assert (caught.value.permanent, caught.value.status) == (permanent, status)


@pytest.mark.parametrize("text", ["1", "", "ok", "429 cards so far"])
async def test_a_good_answer_is_good(text):
    assert await posted(FIRING, (200, {}, text))


@pytest.mark.parametrize("url", ["", "teams", "ftp://example.com/secret-part"])
def test_an_address_that_is_none_is_refused_without_showing_it(url):
    with pytest.raises(ValidationError) as caught:
        TeamsConfig(url=url)
    assert "secret-part" not in caught.value.errors()[0]["msg"]
