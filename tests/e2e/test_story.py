"""The whole story: calls by the real SDKs, their cost on the screen, a rule made in the form, a breach, notices
that arrive, the alert in the grid, taken on and closed."""

import re
from decimal import Decimal

import anthropic
import openai
import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from sqlalchemy import func, select

from data.schema import requests
from tests.e2e.browser import opened, settle
from tests.e2e.receivers import SECRET, receivers
from tests.e2e.stack import Stack, until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CALM = {"x-simulate": "input=1000,output=500"}
DEAR = {"x-simulate": "input=90000,output=8000"}


def call_anthropic(stack: Stack, **headers: str) -> None:
    client = anthropic.Anthropic(base_url=stack.proxy, api_key="sk-ant-test", max_retries=0)
    asked = {"model": "claude-sonnet-5-5", "max_tokens": 900, "messages": [{"role": "user", "content": "Hello"}]}
    client.messages.create(**asked, extra_headers={**CALM, **headers})
    with client.messages.stream(**asked, extra_headers={**CALM, **headers}) as stream:
        stream.until_done()
    client.close()


def call_openai(stack: Stack) -> None:
    client = openai.OpenAI(base_url=f"{stack.proxy}/v1", api_key="sk-test", max_retries=0)
    asked = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}
    client.chat.completions.create(**asked, extra_headers=CALM)
    for _ in client.chat.completions.create(**asked, stream=True, extra_headers=CALM):
        pass
    client.responses.create(model="gpt-5-mini", input="Hello", extra_headers=CALM)
    client.close()


def ledger(stack: Stack) -> tuple[int, Decimal]:
    """Requests and cost in the ledger."""
    frame = stack.store().frame(select(func.count().label("n"), func.sum(requests.c.cost_usd).label("cost")))
    count, cost = frame.row(0)
    return count, cost or Decimal(0)


def add_channels(stack: Stack, hook_url: str, mail_port: int) -> None:
    mail = {"host": "127.0.0.1", "port": mail_port, "security": "plain", "sender": "alerts@example.com"}
    for body in (
        {"name": "hook", "kind": "webhook", "config": {"url": hook_url, "secret": SECRET, "allow_private": True}},
        {"name": "ops", "kind": "email", "config": {**mail, "to": ["ops@example.com"], "allow_private": True}},
    ):
        answer = stack.post("/api/notifications/channels", body)
        assert answer.status_code == 201, answer.text
        assert SECRET not in answer.text


def go(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
    page.get_by_role("heading", name=name, exact=True).wait_for()
    settle(page)


def choose(page: Page, label: str, *options: str) -> None:
    """Pick options in a (multi)select by its label; a rerun may close the list, then it is opened again."""
    for name in options:
        option = page.get_by_role("option", name=name, exact=True)
        box = page.get_by_role("combobox", name=re.compile(f"^(Selected .*\\. )?{label}"))

        def offered(box=box, option=option) -> bool:
            box.click()
            try:
                option.click(timeout=2_000)
            except PlaywrightTimeout:
                page.keyboard.press("Escape")
                return False
            return True

        until(offered, what=f"{name} among {label}")
        settle(page)
    page.keyboard.press("Escape")


def make_the_rule(page: Page) -> None:
    page.get_by_role("button", name="New rule").click()
    settle(page)
    page.get_by_label("Name", exact=True).fill("Dear calls")
    page.get_by_label("Name", exact=True).press("Enter")
    settle(page)
    threshold = page.get_by_label("US dollars")
    threshold.fill("0.2")
    threshold.press("Enter")
    settle(page)
    choose(page, "Notify", "hook", "ops")
    page.get_by_text("Timing").click()
    choose(page, "Look every", "10 seconds")
    page.get_by_text("A medium alert fires when cost over the last hour is above $0.2").wait_for()
    page.get_by_role("button", name="Simulate").click()
    page.get_by_text("Time firing").wait_for()
    page.get_by_role("button", name="Save rule").click()
    page.get_by_text("Dear calls", exact=True).first.wait_for()
    settle(page)


def grid(page: Page):
    return page.frame_locator("iframe[title*='st_aggrid'], iframe[title*='agGrid']").first


def act_on_all(page: Page, action: str) -> None:
    grid(page).locator(".ag-header-select-all .ag-checkbox-input").check()
    button = page.get_by_role("button", name=re.compile(f"^(visibility|check_circle)? ?{action} 1$"))
    button.click()
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Comment").last.fill(f"{action} by the story")
    page.get_by_role("dialog").get_by_role("button", name=re.compile(action)).click()
    page.get_by_role("dialog").wait_for(state="detached")
    settle(page)


def test_from_a_call_to_a_closed_alert(make_stack):
    stack = make_stack(ui=True)
    with receivers() as (hooks, mailbox):
        add_channels(stack, hooks.url, mailbox.port)
        call_anthropic(stack)
        call_openai(stack)
        until(lambda: ledger(stack)[0] == 5, what="five calls in the ledger")
        with opened(stack.ui) as page:
            _, cost = ledger(stack)
            page.get_by_role("group", name="Cost").get_by_text(f"${cost:,.2f}", exact=True).wait_for()

            go(page, "Rules")
            make_the_rule(page)
            assert hooks.got == []
            call_anthropic(stack, **DEAR)
            until(lambda: len(hooks.got) == 1 and len(mailbox.got) == 1, limit_s=120, what="the webhook and the mail")
            assert hooks.got[0]["data"]["rule_name"] == "Dear calls"
            assert "Dear calls" in mailbox.got[0]["subject"]

            go(page, "Alerts")
            grid(page).get_by_text("Dear calls").first.wait_for()
            act_on_all(page, "Acknowledge")
            grid(page).locator(".ag-cell", has_text="Acknowledged").first.wait_for()
            act_on_all(page, "Resolve")
            grid(page).locator(".ag-cell", has_text="Resolved").first.wait_for()
            until(lambda: len(hooks.got) >= 2 and len(mailbox.got) >= 2, what="the word that it is over")
        history = stack.get("/api/alerts/history").json()["items"]
        assert [(a["status"], a["acknowledged_by"], a["resolved_by"]) for a in history][-1] == (
            "resolved",
            "Ada",
            "Ada",
        )
