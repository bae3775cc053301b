"""Virtual keys at the running proxy: made over its API, used with the real SDKs, ended at once."""

import asyncio
import functools
import gzip
import logging
import signal
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import anthropic
import openai
import pytest
from multidict import CIMultiDict
from yarl import URL

from data import key_changes
from data.config import KeysConfig
from data.connection import Connection
from data.keys import KeyDocument
from data.route_config import FallbacksConfig, RouteConfig, TargetConfig
from data.serving import RunningStore
from data.store import connect
from tests.proxy.gateway import NoStore, answer, chunked, client, gateway, provider, until
from tests.proxy.samples import CHAT, CHAT_EVENTS, MESSAGE, MESSAGES

OWN = "sk-own-provider-secret"


@asynccontextmanager
async def stack(config, *answers: bytes, store=None, required: bool = True, **more):
    """A proxy with a real store and keys required, in front of a scripted provider."""
    open_store = store or functools.partial(Connection.open, config)
    async with (
        provider(*(answers or (answer(MESSAGE),))) as (url, seen),
        gateway(config.home, url, api_key=OWN, store=open_store, keys=KeysConfig(required=required), **more) as proxy,
        client() as c,
    ):
        yield proxy, c, seen


async def make(c, proxy, **document) -> str:
    async with c.post(f"{proxy.url}/api/keys", json=document) as got:
        assert got.status == 201, await got.text()
        return (await got.json())["secret"]


async def call(c, proxy, secret: str, **headers: str) -> int:
    async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers={"x-api-key": secret, **headers}) as got:
        await got.read()
        return got.status


async def test_a_key_for_certain_models_is_not_for_others_that_a_call_names(running, config):
    asked = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "fallbacks"}]}
    advisor = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-5"}
    calls = [
        (asked, 200),
        (asked | {"fallbacks": [{"model": "claude-haiku-4-5"}]}, 200),
        (asked | {"fallbacks": [{"model": "claude-haiku-4-5"}, {"model": "claude-opus-4-5"}]}, 403),
        (asked | {"tools": [{"type": None, "name": "n"}, advisor]}, 403),
        (asked | {"tools": [advisor, {"type": 5}]}, 403),
    ]
    async with stack(config) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci", models=["claude-haiku-*"])
        found = []
        for body, _ in calls:
            async with c.post(f"{proxy.url}/v1/messages", json=body, headers={"x-api-key": secret}) as got:
                found.append(got.status)
    assert found == [status for _, status in calls]
    assert len(seen.heads) == 2


async def test_a_keys_life(running, config):
    async with stack(config) as (proxy, c, seen):
        assert await call(c, proxy, "") == 401
        secret = await make(c, proxy, name="ci", owner="ann", team="core", tags={"env": "ci"})
        assert await call(c, proxy, secret) == 200
        async with c.post(f"{proxy.url}/api/keys/ci/rotate", json={"overlap_s": 3600}) as got:
            newer = (await got.json())["secret"]
        assert [await call(c, proxy, text) for text in (secret, newer)] == [200, 200]
        async with c.post(f"{proxy.url}/api/keys/ci/rotate", json={"overlap_s": 0}) as got:
            newest = (await got.json())["secret"]
        assert [await call(c, proxy, text) for text in (secret, newer, newest)] == [401, 401, 200]
        async with c.post(f"{proxy.url}/api/keys/ci/disable") as got:
            assert (await got.json())["status"] == "disabled"
        assert await call(c, proxy, newest) == 401
        async with c.post(f"{proxy.url}/api/keys/ci/enable") as got:
            assert got.status == 200
        assert await call(c, proxy, newest) == 200
        async with c.delete(f"{proxy.url}/api/keys/ci") as got:
            assert (await got.json())["status"] == "revoked"
        assert await call(c, proxy, newest) == 401
        async with c.post(f"{proxy.url}/api/keys/ci/enable") as got:
            assert (got.status, got.content_type) == (400, "application/problem+json")
        await proxy.proxy.forwarder.idle()
    assert len(seen.heads) == 5
    assert all(b"x-api-key: " + OWN.encode() in head and b"cpk_" not in head for head in seen.heads)
    assert {(row.key, row.user, row.team, row.tags["env"]) for row in proxy.records} == {("ci", "ann", "core", "ci")}
    audit = connect(config).sql("SELECT action FROM audit_log WHERE object_kind = 'key' ORDER BY id")
    assert audit["action"].to_list() == [
        *("key.create", "key.rotate", "key.rotate", "key.disable", "key.enable", "key.revoke"),
    ]


async def test_no_secret_is_anywhere_but_in_the_answer_that_made_it(running, config, caplog):
    caplog.set_level(logging.DEBUG)
    async with stack(config) as (proxy, c, _):
        secret = await make(c, proxy, name="ci")
        await call(c, proxy, secret)
        await call(c, proxy, secret + "x")
        async with c.get(f"{proxy.url}/api/keys") as got:
            listed = await got.text()
        async with c.get(f"{proxy.url}/api/system/request-feed") as got:
            listed += await got.text()
        await until(lambda: proxy.proxy.spool.backlog().records == 0)
    written = b"".join(path.read_bytes() for path in config.home.rglob("*") if path.is_file())
    for text in (secret, OWN):
        assert text not in listed + caplog.text
        assert text.encode() not in written
    assert secret[:12] in listed


async def test_the_sdks_say_what_is_wrong(running, config):
    async with stack(config, answer(MESSAGE)) as (proxy, c, _):
        secret = await make(c, proxy, name="ci", models=["claude-*"], requests_per_minute=1)
        asked = {"model": "claude-x", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
        async with anthropic.AsyncAnthropic(api_key="cpk_" + "A" * 43, base_url=proxy.url, max_retries=0) as sdk:
            with pytest.raises(anthropic.AuthenticationError, match="not known here"):
                await sdk.messages.create(**asked)
        async with anthropic.AsyncAnthropic(api_key=secret, base_url=proxy.url, max_retries=0) as sdk:
            with pytest.raises(anthropic.PermissionDeniedError, match="not for the model 'gpt-5'"):
                await sdk.messages.create(**{**asked, "model": "gpt-5"})
            got = await sdk.messages.with_raw_response.create(**asked)
            assert got.headers["anthropic-ratelimit-requests-remaining"] == "0"
            with pytest.raises(anthropic.RateLimitError) as error:
                await sdk.messages.create(**asked)
            assert 50 <= int(error.value.response.headers["retry-after"]) <= 61
    async with stack(config, answer(CHAT)) as (proxy, c, _):
        secret = await make(c, proxy, name="other", models=["gpt-5"])
        async with openai.AsyncOpenAI(api_key=secret, base_url=f"{proxy.url}/v1", max_retries=0) as sdk:
            with pytest.raises(openai.PermissionDeniedError):
                await sdk.chat.completions.create(model="o1", messages=[{"role": "user", "content": "hi"}])


async def test_the_body_of_a_stranger_is_not_read(running, config):
    async with stack(config) as (proxy, _, seen):
        address = URL(proxy.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 400000000\r\n\r\n{")
        async with asyncio.timeout(60):
            assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        writer.close()
    assert seen.heads == []


async def test_of_64_callers_at_once_no_more_pass_than_the_limit(running, config):
    async with stack(config) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci", requests_per_minute=10)
        statuses = await asyncio.gather(*(call(c, proxy, secret) for _ in range(64)))
    assert sorted(statuses) == [200] * 10 + [429] * 54
    assert len(seen.heads) == 10


@pytest.mark.parametrize("ending", ["client", "provider", "timeout"])
async def test_a_call_frees_its_place_however_it_ends(running, config, ending: str):
    goes_on = asyncio.Event()

    async def hang(_reader, writer):
        await goes_on.wait()
        writer.close()

    limits = {"first_byte_timeout_s": 0.3} if ending == "timeout" else {}
    async with stack(config, hang, settings=limits) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci", max_parallel=2)
        tasks = [asyncio.ensure_future(call(c, proxy, secret)) for _ in range(2)]  # noqa: TID251
        await until(lambda: len(seen.heads) == 2)
        assert await call(c, proxy, secret) == 429
        if ending == "client":
            for task in tasks:
                task.cancel()
        elif ending == "provider":
            goes_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await proxy.proxy.forwarder.idle()
        goes_on.set()
        assert await call(c, proxy, secret) in {502, 504}
        assert proxy.proxy.gate.ring.find(secret).limits.in_flight == 0


async def test_hanging_up_before_the_counts_come_is_no_way_around_a_limit_of_tokens(running, config):
    async def begin(reader, writer):
        writer.write(chunked(CHAT_EVENTS[0], end=False))
        await reader.read()

    body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"%s"}]}' % (b"x" * 8000)
    async with stack(config, begin) as (proxy, c, _):
        secret = await make(c, proxy, name="ci", tokens_per_minute=3000)
        headers = {"Authorization": f"Bearer {secret}"}
        statuses = []
        for _ in range(3):
            async with c.post(f"{proxy.url}/v1/chat/completions", data=body, headers=headers) as got:
                statuses.append(got.status)
                got.close()
            await proxy.proxy.forwarder.idle()
        assert statuses == [200, 429, 429]


async def test_a_coded_body_is_estimated_at_what_it_holds(running, config):
    body = gzip.compress(MESSAGES.replace(b"hi", b"x" * 8000))
    async with stack(config) as (proxy, c, _):
        secret = await make(c, proxy, name="ci", tokens_per_minute=2030)
        assert await call(c, proxy, secret) == 200
        headers = {"x-api-key": secret, "Content-Encoding": "gzip"}
        async with c.post(f"{proxy.url}/v1/messages", data=body, headers=headers) as got:
            assert (got.status, got.headers["x-claude-proxy-error"]) == (429, "key_limit")


async def test_a_batch_is_no_way_around_a_keys_models(running, config):
    async with stack(config) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci", models=["claude-haiku-*"])
        batch = {"requests": [{"custom_id": "a", "params": {"model": "claude-opus-4-5"}}]}
        async with c.post(f"{proxy.url}/v1/messages/batches", json=batch, headers={"x-api-key": secret}) as got:
            assert (got.status, (await got.json())["error"]["type"]) == (403, "permission_error")
    assert seen.heads == []


@pytest.mark.parametrize(
    ("models", "status"),
    [(["cheap"], 529), (["cheap", "claude-haiku-*"], 200), ([], 200)],
    ids=["other models", "that model", "any"],
)
async def test_a_fallback_is_no_way_around_a_keys_models(running, config, models: list[str], status: int):
    fallbacks = FallbacksConfig(any=(TargetConfig("anthropic", "claude-haiku-4-5"),))
    ways = {"routes": (RouteConfig("*", "anthropic", fallbacks=fallbacks),), "aliases": {"cheap": "claude-sonnet-4-5"}}
    busy = answer(b'{"type":"error","error":{"type":"overloaded_error"}}', status="529 Overloaded")
    async with stack(config, busy, answer(MESSAGE), **ways) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci", models=models)
        asked = MESSAGES.replace(b"claude-sonnet-4-5", b"cheap")
        async with c.post(f"{proxy.url}/v1/messages", data=asked, headers={"x-api-key": secret}) as got:
            assert got.status == status
    assert b"claude-sonnet-4-5" in seen.bodies[0]
    assert [b"claude-haiku-4-5" in body for body in seen.bodies[1:]] == [True] * (status == 200)


async def test_a_keys_own_routes_come_first_and_lead_to_providers_that_there_are(running, config):
    async with stack(config) as (proxy, c, seen):
        route = {"model": "claude-*", "provider": "anthropic", "send_model": "claude-haiku-4-5"}
        secret = await make(c, proxy, name="ci", routes=[route])
        assert await call(c, proxy, secret) == 200
        wrong = {"routes": [route, {**route, "provider": "antropic"}]}
        for asking in (
            c.post(f"{proxy.url}/api/keys", json={"name": "other", **wrong}),
            c.put(f"{proxy.url}/api/keys/ci", json=wrong),
        ):
            async with asking as got:
                assert (got.status, got.content_type) == (400, "application/problem+json")
                told = (await got.json())["detail"]
                assert told == "routes.1.provider: no provider 'antropic' (known: anthropic, openai, gemini)"
    assert b"claude-haiku-4-5" in seen.bodies[0]


async def test_what_uses_no_tokens_is_held_to_no_limit_of_tokens(running, config):
    async with stack(config) as (proxy, c, seen):
        headers = {"x-api-key": await make(c, proxy, name="ci", tokens_per_minute=1000)}
        assert await call(c, proxy, headers["x-api-key"]) == 200
        for path in ("v1/files", "v1/messages/count_tokens", "v1/messages/batches"):
            async with c.post(f"{proxy.url}/{path}", data=b"x" * 100_000, headers=headers) as got:
                assert got.status == 200
                assert int(got.headers["anthropic-ratelimit-tokens-remaining"]) > 0
    assert len(seen.heads) == 4


async def test_a_key_of_its_own_may_come_beside_the_callers_credential(running, config):
    async with stack(config, required=True) as (proxy, c, seen):
        secret = await make(c, proxy, name="ci")
        assert await call(c, proxy, "sk-callers", **{"x-claude-proxy-key": secret}) == 200
    assert b"x-claude-proxy-key" not in seen.heads[0].lower()


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("x-api-key", "{}"), ("authorization", "Bearer {}")], "?a=1"),
        ([("authorization", "{}")], "?a=1"),
        ([("x-api-key", "sk-own"), ("x-api-key", "{}")], "?a=1"),
        ([("x-claude-proxy-key", "{}"), ("x-api-key", "{other}")], "?a=1"),
        ([("x-claude-proxy-key", "{}"), ("cookie", "key={other}")], "?a=1"),
        ([], "?key={}&a=1"),
        ([], "?key={other}&a=1&key=%63pk_{rest}"),
    ],
    ids=["two places", "no scheme", "beside another", "another key", "elsewhere", "query", "percent signs"],
)
async def test_a_virtual_key_never_reaches_a_provider(running, config, headers, query: str):
    async with (
        provider(answer(MESSAGE)) as (url, seen),
        gateway(config.home, url, store=functools.partial(Connection.open, config)) as proxy,
        client() as c,
    ):
        secret, other = await make(c, proxy, name="ci"), await make(c, proxy, name="other")
        own = CIMultiDict((name, value.format(secret, other=other)) for name, value in headers)
        path = URL(f"{proxy.url}/v1/messages{query.format(secret, other=other, rest=secret[4:])}", encoded=True)
        async with c.post(path, data=MESSAGES, headers=own) as got:
            assert got.status == 200, await got.text()
    assert seen.heads[0].startswith(b"POST /v1/messages?a=1 HTTP/1.1")
    assert b"pk_" not in seen.heads[0]


async def test_what_stands_in_our_header_is_never_passed_over(running, config):
    async with stack(config, required=False) as (proxy, c, seen):
        assert await call(c, proxy, "sk-own", **{"x-claude-proxy-key": "mistyped"}) == 401
    assert seen.heads == []


async def test_keys_outlive_the_store_and_a_restart(config, running):
    async with stack(config) as (proxy, c, _):
        secret = await make(c, proxy, name="ci")
    running.stop()
    async with stack(config) as (proxy, c, _):
        assert await call(c, proxy, secret) == 200
        assert await call(c, proxy, "cpk_" + "A" * 43) == 401
        async with c.post(f"{proxy.url}/api/keys", json={"name": "b"}) as got:
            assert (got.status, got.content_type) == (503, "application/problem+json")
        async with c.post(f"{proxy.url}/api/keys/ci/disable", headers={"x-actor": "ann"}) as got:
            assert (got.status, (await got.json())["status"]) == (202, "disabled")
        assert await call(c, proxy, secret) == 401
    again = RunningStore(config)
    async with stack(config) as (proxy, c, _):
        assert await call(c, proxy, secret) == 401
        store = connect(config)
        assert key_changes.get(store, "ci").document.enabled is False
        assert store.sql("SELECT actor FROM audit_log WHERE action = 'key.disable'")["actor"].to_list() == ["ann"]
        store.close()
    again.stop()


async def test_a_key_is_off_at_once_even_while_the_store_hangs(config, served):
    async with stack(config) as (proxy, c, _):
        secret = await make(c, proxy, name="ci")
        assert await call(c, proxy, secret) == 200
        served.process.send_signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(20), c.post(f"{proxy.url}/api/keys/ci/disable") as got:
                assert got.status == 202
            assert await call(c, proxy, secret) == 401
        finally:
            served.process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            while (await (await c.get(f"{proxy.url}/api/keys/ci")).json())["version"] == 1:
                await asyncio.sleep(0.05)


async def test_the_first_call_finds_the_keys_of_the_store(config, running):
    store = connect(config)
    _, secret = key_changes.create(store, KeyDocument(name="ci"), by="me", now=datetime.now(UTC))
    store.close()
    async with stack(config) as (proxy, c, _):
        assert await call(c, proxy, secret) == 200


async def test_without_any_source_of_keys_nobody_gets_through(home: Path, config):
    async with stack(config, store=NoStore()) as (proxy, c, seen):
        assert await call(c, proxy, "cpk_" + "A" * 43) == 503
        async with c.get(f"{proxy.url}/health") as got:
            assert (got.status, (await got.json())["checks"]["keys"]["status"]) == (503, "failing")
    assert seen.heads == []


async def test_a_sibling_knows_at_once_even_while_the_store_is_away(config, running):
    async with stack(config) as (first, c, _):
        secret = await make(c, first, name="ci")
        running.stop()
        async with stack(config) as (second, _, _):
            assert await call(c, second, secret) == 200
            async with c.post(f"{first.url}/api/keys/ci/disable") as got:
                assert got.status == 202
            async with c.get(f"{second.url}/health"):
                pass
            statuses = []
            await_until = 0
            while not statuses or statuses[-1] == 200:
                statuses.append(await call(c, second, secret))
                await_until += 1
                assert await_until < 5000
            assert statuses[-1] == 401


async def test_an_edit_from_an_old_version_changes_nothing(running, config):
    async with stack(config) as (proxy, c, _):
        await make(c, proxy, name="ci")
        url = f"{proxy.url}/api/keys/ci"
        async with c.put(url, json={"team": "a", "version": 1}) as got:
            assert (got.status, (await got.json())["version"]) == (200, 2)
        async with c.put(url, json={"team": "b", "version": 1}) as got:
            assert got.status == 409
        async with c.put(url, json={"name": "other"}) as got:
            assert got.status == 400


async def test_who_acts_may_be_named_in_any_bytes(running, config):
    async with stack(config) as (proxy, _, _):
        address = URL(proxy.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = b"POST /api/keys HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Actor: \xff\xfe\r\nContent-Type: application/json\r\n"
        writer.write(head + b'Content-Length: 13\r\n\r\n{"name":"ci"}')
        assert await reader.readline() == b"HTTP/1.1 201 Created\r\n"
        writer.close()


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": "a", "endpoints": ["nonsense"]}, "endpoints.0"),
        ({"name": "a", "tags": {"a=b": "c"}}, "tags.a=b"),
        ({"name": "a", "expires_at": "soon"}, "expires_at"),
        ({"name": "a", "colour": "red"}, "colour"),
    ],
)
async def test_a_document_with_faults_is_refused_by_field(running, config, document: dict[str, object], field: str):
    async with stack(config) as (proxy, c, _):
        async with c.post(f"{proxy.url}/api/keys", json=document) as got:
            assert got.status == 400
            assert field in (await got.json())["detail"]
        async with c.post(f"{proxy.url}/api/keys", data=b"{", headers={"content-type": "application/json"}) as got:
            assert got.status == 400


async def test_keys_are_listed_a_page_at_a_time(running, config):
    async with stack(config) as (proxy, c, _):
        for name in ("c", "a", "b"):
            await make(c, proxy, name=name)
        async with c.get(f"{proxy.url}/api/keys?limit=2") as got:
            page = await got.json()
        async with c.get(f"{proxy.url}/api/keys?limit=2&cursor={page['next']}") as got:
            rest = await got.json()
    assert [key["name"] for key in page["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next"] is None
