"""What the API's description says of virtual keys is what a running proxy takes and answers."""

import jsonschema
import pytest

from data.keys import KeyDocument
from proxy.key_schemas import KEY
from tests.proxy.test_keys import make, stack


def described(document, path: str, method: str, status: int):
    return document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]


def test_a_key_is_described_with_all_that_it_says():
    assert set(KeyDocument.model_fields) < set(KEY["properties"])


async def test_answers_are_as_they_are_described(running, config):
    async with stack(config) as (proxy, c, _):
        async with c.get(f"{proxy.url}/api/openapi.json") as got:
            document = await got.json()
        await make(c, proxy, name="ci", tags={"a": "b"}, expires_at="2099-01-01T00:00:00Z", max_parallel=2)
        one = "/api/keys/{name}"
        for method, path, url, body in [
            ("post", "/api/keys", "/api/keys", {"name": "other"}),
            ("post", f"{one}/rotate", "/api/keys/ci/rotate", {}),
            ("put", one, "/api/keys/ci", {"team": "core", "version": 2}),
            ("get", "/api/keys", "/api/keys", None),
            ("get", one, "/api/keys/ci", None),
            ("delete", one, "/api/keys/ci", None),
        ]:
            async with c.request(method, proxy.url + url, json=body) as got:
                said = await got.json()
                schema = described(document, path, method, got.status)
                jsonschema.validate(said, schema)
            assert schema["required"]


async def test_the_version_of_a_change_is_described(running, config):
    async with stack(config) as (proxy, c, _), c.get(f"{proxy.url}/api/openapi.json") as got:
        document = await got.json()
    putting = document["paths"]["/api/keys/{name}"]["put"]
    assert putting["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/KeyChange")
    schemas = document["components"]["schemas"]
    change = {**schemas["KeyChange"], "components": {"schemas": schemas}}
    jsonschema.validate({"team": "core", "version": 3}, change)
    jsonschema.validate({"team": "core", "version": None}, change)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 0}, change)
    assert "version" not in schemas["KeyDocument"]["properties"]
    assert "version" in described(document, "/api/keys/{name}", "put", 200)["required"]
