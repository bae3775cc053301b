"""What Claude Code 2.1.197 sends, recorded in front of the simulated provider; its longer texts are left out."""

import json
from pathlib import Path

import anthropic
import pytest

from data.model import Outcome, Protocol
from tests.proxy.gateway import answer, client, gateway, provider
from tests.proxy.test_translated_calls import before

RECORDED = json.loads(Path(__file__).with_name("claude_code.json").read_text(encoding="utf-8"))
BETA = {"context_management"}
SESSION = "0f8fad5b-d9cb-469f-a165-70867728950e"

each = pytest.mark.parametrize("call", RECORDED, ids=[call["what"] for call in RECORDED])


@each
async def test_it_goes_on_as_it_came_and_is_booked_under_its_session_and_agent(tmp_path: Path, call):
    body = json.dumps(call["body"]).encode()
    said = answer(json.dumps({"type": "message", "usage": {"input_tokens": 3, "output_tokens": 2}}).encode())
    async with provider(said) as (url, seen), gateway(tmp_path, url) as proxy, client() as c:
        async with c.post(f"{proxy.url}/v1/messages?beta=true", data=body, headers=call["headers"]) as got:
            assert got.status == 200
        record = await proxy.record()
    assert seen.bodies == [body]
    assert seen.heads[0].startswith(b"POST /v1/messages?beta=true HTTP/1.1\r\n")
    for name, value in call["headers"].items():
        assert f"{name}: {value}\r\n".lower().encode() in seen.heads[0].lower()
    assert (record.session, record.agent) == (SESSION, call["headers"].get("x-claude-code-agent-id", ""))
    assert record.user_agent == "claude-cli/2.1.197 (external, sdk-cli)"


@each
async def test_a_provider_of_openais_kind_can_serve_it(home: Path, call):
    more = {"anthropic-beta": call["headers"]["anthropic-beta"]}
    async with (
        before(home, Protocol.OPENAI) as proxy,
        anthropic.AsyncAnthropic(api_key="callers", base_url=proxy.url, max_retries=0, default_headers=more) as sdk,
    ):
        # the SDK's own words for it are behind the beta
        known = {name: value for name, value in call["body"].items() if name not in {"stream", *BETA}}
        beta = {name: value for name, value in call["body"].items() if name in BETA}
        async with sdk.messages.stream(**known, extra_body=beta) as stream:
            message = await stream.get_final_message()
        record = await proxy.record()
    assert message.stop_reason in {"end_turn", "tool_use", "max_tokens"}
    assert (record.outcome, record.session, record.provider) == (Outcome.OK, SESSION, "only")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (
        record.uncached_input_tokens,
        record.output_tokens,
    )
