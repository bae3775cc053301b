"""The API's description: the proxy's part, the worker's, and both together."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openapi_spec_validator import validate
from pydantic import BaseModel

from data.config import WorkerConfig
from proxy.api_route import ApiRoute, Parameter
from proxy.openapi import description, joined
from tests.proxy.gateway import client, gateway


class Thing(BaseModel):
    """What is posted."""

    name: str


async def nobody(_request: web.Request) -> web.Response:
    return web.Response()


ROUTES = (
    ApiRoute(
        "GET",
        "/api/things",
        nobody,
        "Things",
        query=(Parameter("limit", "How many", {"type": "integer", "minimum": 1, "maximum": 5}), "cursor"),
        answers={200: "Things.", 503: "Away."},
    ),
    ApiRoute(
        "POST", "/api/things/{name:[a-z]+}", nobody, "Make one", body=Thing, answers={201: "Made.", 415: "Not JSON."}
    ),
    ApiRoute("DELETE", "/api/things/{name:[a-z]+}", nobody, "End one", answers={204: "Gone."}),
    ApiRoute("GET", "/health", nobody, "Health", answers={200: "Well.", 503: "Ill."}, told_so=(503,), open=True),
)


def test_routes_are_described_with_parameters_bodies_and_answers():
    document = description(ROUTES, "1")
    validate(document)
    getting = document["paths"]["/api/things"]["get"]
    assert [(each["name"], each["schema"]) for each in getting["parameters"]] == [
        ("limit", {"type": "integer", "minimum": 1, "maximum": 5}),
        ("cursor", {"type": "string"}),
    ]
    assert set(getting["responses"]) == {"200", "400", "401", "403", "503"}
    assert list(getting["responses"]["503"]["content"]) == ["application/problem+json"]
    making = document["paths"]["/api/things/{name}"]["post"]
    assert making["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Thing"}
    assert making["parameters"][0]["in"] == "path"
    assert "content" not in document["paths"]["/api/things/{name}"]["delete"]["responses"]["204"]
    health = document["paths"]["/health"]["get"]["responses"]
    assert set(health) == {"200", "503"}
    assert list(health["503"]["content"]) == ["application/json"]


@pytest.mark.parametrize(
    ("value", "fits"), [("1", True), ("5", True), ("0", False), ("6", False), ("x", False), ("", False), ("٣", False)]
)
def test_a_number_must_lie_within_its_bounds(value: str, *, fits: bool):
    fault = Parameter("limit", "", {"type": "integer", "minimum": 1, "maximum": 5}).fault(value)
    assert (fault == "") is fits


def test_a_word_must_be_one_of_the_known():
    assert Parameter("order", "", {"enum": ["a", "b"]}).fault("b") == ""
    assert "a, b" in Parameter("order", "", {"enum": ["a", "b"]}).fault("c")


WORKERS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "w", "version": "1"},
    "paths": {
        "/health": {"get": {"responses": {"200": {"description": "the worker's"}}}},
        "/api/rules": {
            "get": {
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                    },
                    "503": {"description": "the store is away"},
                }
            }
        },
    },
    "components": {"schemas": {"Thing": {"type": "string"}, "Own": {"type": "number"}}},
}


def test_the_workers_part_is_joined_with_what_the_way_through_the_proxy_adds():
    whole = joined(description(ROUTES, "1"), WORKERS)
    validate(whole)
    assert whole["paths"]["/health"]["get"]["responses"]["200"]["description"] == "Well."
    answers = whole["paths"]["/api/rules"]["get"]["responses"]
    assert {"200", "401", "403", "413", "503", "504"} == set(answers)
    assert answers["503"]["description"] == "the store is away"


def test_a_schema_of_the_same_name_gets_another_one():
    whole = joined(description(ROUTES, "1"), WORKERS)
    schemas = whole["components"]["schemas"]
    assert (schemas["WorkerThing"], schemas["Own"]) == ({"type": "string"}, {"type": "number"})
    assert schemas["Thing"]["type"] == "object"
    said = whole["paths"]["/api/rules"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert said == {"$ref": "#/components/schemas/WorkerThing"}
    assert WORKERS["components"]["schemas"]["Thing"] == {"type": "string"}


async def described(home: Path, port: int) -> dict[str, Any]:
    async with gateway(home, "http://127.0.0.1:9", worker=WorkerConfig(port=port)) as proxy, client() as c:
        got = await c.get(f"{proxy.url}/api/openapi.json")
        assert got.status == 200
        document: dict[str, Any] = json.loads(await got.read())
        return document


async def test_without_a_worker_the_proxys_part_is_there_and_says_that_the_rest_is_missing(tmp_path: Path):
    document = await described(tmp_path, 9)
    validate(document)
    assert "does not answer" in document["x-note"]
    assert {"/health", "/metrics", "/ws/live", "/api/system/limits", "/api/openapi.json"} <= set(document["paths"])


@pytest.mark.parametrize("said", [b"[]", b"{}", b"<html>", b'{"paths": 5}', b"\xff"])
async def test_a_worker_that_talks_nonsense_is_no_worker(tmp_path: Path, said: bytes):
    async def nonsense(_request: web.Request) -> web.Response:
        return web.Response(body=said, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", nonsense)
    async with TestServer(app) as server:
        assert "x-note" in await described(tmp_path, server.port or 0)


async def test_parameters_that_are_wrong_are_named(tmp_path: Path):
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        for query, why in (
            ("request-feed?limit=0", "limit must be a whole number from 1 to 200, not '0'."),
            ("request-feed?limits=5", "There is no parameter 'limits' here; there is limit."),
            ("version?x=1", "There is no parameter 'x' here."),
        ):
            async with c.get(f"{proxy.url}/api/system/{query}") as got:
                assert (got.status, got.content_type) == (400, "application/problem+json")
                assert json.loads(await got.read())["detail"] == why
        assert (await c.get(f"{proxy.url}/metrics?name=x")).status == 200
        got = await c.post(f"{proxy.url}/api/system/version")
        assert (got.status, got.headers["Allow"]) == (405, "GET")
        assert (await c.head(f"{proxy.url}/api/system/version")).status == 200
        assert (await c.get(f"{proxy.url}/api/alerts/%0A")).status == 503
