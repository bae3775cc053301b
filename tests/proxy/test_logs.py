"""Log lines."""

import asyncio
import io
import json
import logging
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from data.config import KeysConfig
from proxy import access_log
from proxy.access_log import AccessLog
from proxy.logs import CALL, JsonLines
from tests.proxy.admission.keys import key
from tests.proxy.budget_worlds import begin_counting, budget
from tests.proxy.gateway import answer, client, gateway, provider, until
from tests.proxy.samples import MESSAGE, MESSAGES
from tests.proxy.test_live import record


def line(**more: object) -> dict[str, str]:
    record = logging.makeLogRecord({"name": "proxy.x", "levelname": "WARNING", "msg": "took %d", "args": (5,), **more})
    text = JsonLines().format(record)
    assert "\n" not in text
    read = json.loads(text)
    assert isinstance(read, dict)
    return read


def test_a_line_is_one_json_object_with_its_extra_fields():
    read = line(record="r1")
    assert (read["level"], read["logger"], read["message"], read["record"]) == ("warning", "proxy.x", "took 5", "r1")


def test_a_line_has_at_most_2000_characters():
    read = line(msg="\x01" * 9000 + "the end", args=(), other="é" * 5000)
    assert len(json.dumps(read, ensure_ascii=False)) <= 2000
    assert read["message"].endswith("the end")


def test_an_error_is_told_in_the_same_line():
    try:
        int("bad\nthing")
    except ValueError:
        assert "ValueError: invalid literal" in line(exc_info=sys.exc_info())["error"]


def test_every_line_of_a_call_carries_its_request_id():
    assert "request_id" not in line()
    called = CALL.set("r-1")
    try:
        assert line()["request_id"] == "r-1"
        assert line(request_id="another")["request_id"] == "another"
    finally:
        CALL.reset(called)
    assert "request_id" not in line()


async def test_a_fault_inside_a_call_is_logged_with_the_request_id_that_the_client_was_told(tmp_path: Path):
    lines: list[dict[str, str]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonLines().format(record)))

    async with provider(answer(MESSAGE)) as (url, _), gateway(tmp_path, url) as proxy, client() as c:

        def fails(_record: object) -> int:
            raise OSError("disk full")

        proxy.proxy.forwarder._means.books.ledger.take = fails  # type: ignore[method-assign, assignment]
        logging.getLogger("proxy").addHandler(kept := Kept())
        try:
            async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES) as got:
                await got.read()
        finally:
            logging.getLogger("proxy").removeHandler(kept)
    told = [line for line in lines if "accounted for" in line["message"]]
    assert [line["request_id"] for line in told] == [got.headers["x-claude-proxy-request-id"]]


async def test_the_access_log_tells_of_each_call_and_of_refusals():
    stream = io.StringIO()
    log = AccessLog(stream)
    running = asyncio.get_running_loop().create_task(log.run())
    log.ended(record(7, cost_usd=Decimal("0.123456789"), model="é"))
    log.refused("messages", 429, "budget_exceeded", request_id="r-8", key="ci")
    await until(lambda: stream.getvalue().count("\n") == 2)
    log.ended(record(9))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    first, second, third = (json.loads(text, parse_float=Decimal) for text in stream.getvalue().splitlines())
    assert (first["request_id"], first["status"], first["outcome"], first["model"]) == ("7", 0, "ok", "é")
    assert (first["input_tokens"], first["output_tokens"], first["cost_usd"]) == (10, 5, Decimal("0.123456789"))
    assert (second["message"], second["code"], second["request_id"]) == ("refused", "budget_exceeded", "r-8")
    assert third["request_id"] == "9"


async def test_who_is_refused_is_told_the_id_of_the_call_that_the_access_log_names(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    ci, ci_secret = key("ci", requests_per_minute=1)
    web, web_secret = key("web")
    settings = {"access_log": True}
    begin_counting(home, [budget("webs", amount_usd="0.000001", scope={"kind": "key", "value": "web"})])
    refusals = [
        ("key_required", "messages", "", {}, "/v1/messages"),
        ("invalid_key", "messages", "", {"x-api-key": "cpk_" + "A" * 43}, "/v1/messages"),
        ("key_limit", "messages", "ci", {"x-api-key": ci_secret}, "/v1/messages"),
        ("budget_exceeded", "messages", "web", {"x-api-key": web_secret}, "/v1/messages"),
        ("unknown_endpoint", "", "web", {"x-api-key": web_secret}, "/v1/nothing"),
    ]
    async with (
        provider(answer(MESSAGE)) as (url, _),
        gateway(home, url, api_key="sk-own", settings=settings, keys=KeysConfig(required=True)) as proxy,
        client() as c,
    ):
        proxy.proxy.gate.ring.replace([ci, web])
        async with c.post(f"{proxy.url}/v1/messages", data=MESSAGES, headers={"x-api-key": ci_secret}) as got:
            assert got.status == 200
            ids = [got.headers["x-claude-proxy-request-id"]]
        for code, _, _, headers, path in refusals:
            async with c.post(proxy.url + path, data=MESSAGES, headers=headers) as got:
                assert got.headers["x-claude-proxy-error"] == code
                ids.append(got.headers["x-claude-proxy-request-id"])
        assert (await proxy.record()).request_id == ids[0]
    written = [json.loads(text) for text in capsys.readouterr().err.splitlines() if '"proxy.access"' in text]
    assert {each["request_id"]: each.get("code", "") for each in written} == dict(
        zip(ids, ["", *(refusal[0] for refusal in refusals)], strict=True)
    )
    told = [(each["code"], each["endpoint"], each["key"]) for each in written if each["message"] == "refused"]
    assert told == [(code, endpoint, name) for code, endpoint, name, _, _ in refusals]


async def test_lines_that_nobody_takes_are_counted_not_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access_log, "MAX_WAITING", 2)
    stream = io.StringIO()
    log = AccessLog(stream)
    for number in range(5):
        log.ended(record(number))
    running = asyncio.get_running_loop().create_task(log.run())
    await until(lambda: stream.getvalue().count("\n") == 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert json.loads(stream.getvalue().splitlines()[-1])["message"] == "3 lines were left out"
