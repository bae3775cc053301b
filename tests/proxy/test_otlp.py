"""Metrics pushed to an OTLP receiver."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric

from data.config import Config, OtlpConfig, ProviderConfig, ProxyConfig
from data.model import Endpoint, Outcome, Protocol
from proxy import otlp_push
from proxy.errors import TelemetryUnavailable
from proxy.metrics import DURATION_BUCKETS, TOKEN_BUCKETS, Metrics
from proxy.otlp import export_request
from proxy.otlp_push import OtlpPush, headers_of, metrics_url
from proxy.program import running
from proxy.readings import Readings
from tests.proxy.gateway import TakingStore, answer, client, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES
from tests.proxy.test_live import record

USAGE = "gen_ai.client.token.usage"
QUIET = Readings(*[lambda: 0.0] * 4)


class Receiver:
    """What was posted, decoded, and the headers it came with."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.requests.append(ExportMetricsServiceRequest.FromString(await request.read()))
        return web.Response()

    def metrics(self) -> dict[str, Metric]:
        (resource,) = self.requests[-1].resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}


@asynccontextmanager
async def receiver(handler: Callable[[web.Request], object]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)  # type: ignore[arg-type]
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def attributes(point: HistogramDataPoint) -> dict[str, str]:
    return {each.key: each.value.string_value for each in point.attributes}


def config(home: Path, base_url: str, otlp: OtlpConfig) -> Config:
    providers = {"anthropic": ProviderConfig(Protocol.ANTHROPIC, base_url, name="anthropic")}
    return Config(home=home, proxy=ProxyConfig(port=0), providers=providers, otlp=otlp)


async def telemetry(asking: aiohttp.ClientSession, url: str) -> dict[str, str]:
    async with asking.get(f"{url}/api/system/stats") as got:
        return (await got.json())["telemetry"]


async def test_calls_arrive_at_a_receiver_under_the_conventions_names(tmp_path: Path):
    taken = Receiver()
    async with receiver(taken.take) as url, provider(answer(MESSAGE)) as (base, _), client() as c:
        otlp = OtlpConfig(url, "x-key=open sesame", interval_s=0.05)
        async with running(config(tmp_path, base, otlp), TakingStore()) as proxy:
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                await got.read()
            await until(lambda: bool(taken.requests and taken.metrics()[USAGE].histogram.data_points))
            said = await telemetry(c, proxy.url)
    found = taken.metrics()
    assert set(found) == {
        USAGE,
        "gen_ai.client.operation.duration",
        "gen_ai.server.time_to_first_token",
    }
    usage = {attributes(point)["gen_ai.token.type"]: point for point in found[USAGE].histogram.data_points}
    assert attributes(usage["input"]) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.response.model": attributes(usage["output"])["gen_ai.response.model"],
        "gen_ai.token.type": "input",
    }
    (duration,) = found["gen_ai.client.operation.duration"].histogram.data_points
    assert tuple(duration.explicit_bounds) == DURATION_BUCKETS
    assert duration.count == sum(duration.bucket_counts) == 1
    assert taken.paths[0] == "/v1/metrics"
    assert taken.headers[0]["x-key"] == "open sesame"
    assert taken.headers[0]["content-type"] == "application/x-protobuf"
    assert (said["receiver"], said["trouble"]) == (url, "")


def test_counts_sums_and_errors_are_those_of_the_tallies():
    metrics = Metrics(QUIET)
    for number, tokens in enumerate((1, 4, 5)):
        metrics.count(record(number, uncached_input_tokens=tokens, output_tokens=0, model="m", model_requested="m"))
    metrics.count(record(9, outcome=Outcome.ERROR, error_class="overloaded_error", uncached_input_tokens=0))
    metrics.count(replace(record(10, provider="google"), endpoint=Endpoint.EMBEDDINGS))
    made = export_request(metrics.genai, {"service.name": "x"}, since_ns=5, now_ns=9)
    usage, duration, ttft = made.resource_metrics[0].scope_metrics[0].metrics
    first = next(point for point in usage.histogram.data_points if point.count == 3)
    assert (first.sum, list(first.bucket_counts[:4])) == (10.0, [1, 1, 1, 0])
    assert tuple(first.explicit_bounds) == TOKEN_BUCKETS
    assert len(first.bucket_counts) == len(TOKEN_BUCKETS) + 1
    assert (first.start_time_unix_nano, first.time_unix_nano) == (5, 9)
    assert usage.histogram.aggregation_temporality == 2
    said = [attributes(point) for point in duration.histogram.data_points]
    assert [each.get("error.type") for each in said] == [None, "overloaded_error", None]
    assert (said[2]["gen_ai.provider.name"], said[2]["gen_ai.operation.name"]) == ("gcp.gemini", "embeddings")
    assert not ttft.histogram.data_points


async def test_a_receiver_that_hangs_or_refuses_disturbs_nothing(tmp_path: Path):
    let_go, asked = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        asked.set()
        await let_go.wait()
        return web.Response(status=503)

    async with receiver(hang) as url, provider(answer(MESSAGE)) as (base, _), client() as c:
        otlp = OtlpConfig(url, interval_s=0.01)
        async with running(config(tmp_path, base, otlp), TakingStore()) as proxy:
            await asyncio.wait_for(asked.wait(), 60)
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                assert got.status == 200
            async with c.get(f"{proxy.url}/health") as got:
                assert (await got.json())["status"] == "ok"
            let_go.set()

            async with asyncio.timeout(60):
                while "status 503" not in (await telemetry(c, proxy.url))["trouble"]:
                    await asyncio.sleep(0.01)


async def test_another_receiver_is_told_everything_since_the_start_and_none_is_told_nothing(tmp_path: Path):
    first, second = Receiver(), Receiver()
    async with (
        receiver(first.take) as one,
        receiver(second.take) as other,
        provider(answer(MESSAGE)) as (base, _),
        client() as c,
    ):
        async with running(config(tmp_path, base, OtlpConfig(one, interval_s=0.05)), TakingStore()) as proxy:
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                await got.read()
            await until(lambda: bool(first.requests and first.metrics()[USAGE].histogram.data_points))
            proxy.reload(config(tmp_path, base, OtlpConfig(other, interval_s=0.05)))
            await until(lambda: bool(second.requests))
            assert (await telemetry(c, proxy.url))["receiver"] == other
            proxy.reload(config(tmp_path, base, OtlpConfig()))
            assert await telemetry(c, proxy.url) == {}
    before, after = (
        taken.metrics()["gen_ai.client.operation.duration"].histogram.data_points[0] for taken in (first, second)
    )
    assert (before.count, before.start_time_unix_nano) == (after.count, after.start_time_unix_nano)


async def test_where_nothing_can_be_pushed_a_reload_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    taken = Receiver()
    async with receiver(taken.take) as url, provider(answer(MESSAGE)) as (base, _):
        old = config(tmp_path, base, OtlpConfig(url, interval_s=0.05))
        async with running(old, TakingStore()) as proxy:
            with monkeypatch.context() as patched:
                patched.setattr(otlp_push, "find_spec", lambda _: None)
                with pytest.raises(TelemetryUnavailable):
                    proxy.reload(config(tmp_path, base, OtlpConfig("http://127.0.0.1:9")))
            assert proxy.forwarder.standing.config is old
            before = len(taken.requests)
            await until(lambda: len(taken.requests) > before)


async def test_a_receiver_that_is_not_there_is_told_once(caplog: pytest.LogCaptureFixture):
    push = OtlpPush(OtlpConfig("http://127.0.0.1:9"), Metrics(QUIET).genai, {"service.name": "x"}, time.time_ns())
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            await push._push(session, 5.0)
    assert push.status()["trouble"] == "ClientConnectorError"
    assert [line.getMessage() for line in caplog.records] == [
        "metrics cannot be pushed to http://127.0.0.1:9: ClientConnectorError"
    ]


async def test_the_last_counts_are_pushed_at_the_end():
    taken = Receiver()
    async with receiver(taken.take) as url:
        push = OtlpPush(OtlpConfig(url, interval_s=3600), Metrics(QUIET).genai, {"service.name": "x"}, time.time_ns())
        running = asyncio.get_running_loop().create_task(push.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len(taken.requests) == 1


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/metrics"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/metrics"),
        ("https://collector.example/otlp/v1/metrics", "https://collector.example/otlp/v1/metrics"),
    ],
)
def test_an_address_without_a_path_is_a_receivers_base(endpoint: str, url: str):
    assert str(metrics_url(endpoint)) == url


def test_headers_are_pairs_and_what_is_none_is_left_out():
    assert headers_of("a=b=c, d = e,nothing,=x,") == {"a": "b=c", "d": "e"}
