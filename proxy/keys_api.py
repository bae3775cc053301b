"""/api/keys: virtual keys are made, shown, changed, rotated and ended. A secret is in one answer, once."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from data import key_changes
from data.errors import KeyFault, NoSuchKey, StoreError, StoreUnavailable
from data.keys import KeyDocument, Name, StoredKey, shown
from data.queries.keys import KeyStore
from proxy.admission.key_watch import PATIENCE_S, KeyWatch
from proxy.api_body import BadBody, json_body, posted, with_problems
from proxy.api_route import ApiRoute
from proxy.key_schemas import KEY, KEYS, NEW_KEY
from proxy.request import clean

_PAGE: Final = 500
_LONGEST_NAME: Final = 200
_VERSIONS: Final = 1 << 31
_encoder = msgspec.json.Encoder()


class RotateBody(BaseModel):
    """How long the old secrets go on; 0 ends them at once."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: Annotated[float, Field(ge=0, le=366 * 86_400)] = key_changes.USUAL_OVERLAP.total_seconds()


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class KeyChange(KeyDocument):
    """What a key is to say, all of it. Its name may be left out; without `enabled` that stays as it is.

    `version`: the one that it was read in; where it has another by now, nothing is changed (409). Without it the change
    is made whatever was changed before.
    """

    name: Name = Field(default="", json_schema_extra=_without_default)
    version: Annotated[int, Field(ge=1, lt=_VERSIONS)] | None = None


class NoBody(BaseModel):
    """Nothing need be posted."""

    model_config = ConfigDict(extra="forbid")


class KeysApi:
    """Answers by what the store and this proxy know. `store` gives the store or raises StoreError.

    `providers` are the names of those that a key's routes may lead to now.
    """

    def __init__(
        self, watch: KeyWatch, store: Callable[[], KeyStore], providers: Callable[[], Collection[str]]
    ) -> None:
        self._watch = watch
        self._store = store
        self._providers = providers

    async def listing(self, request: web.Request) -> web.Response:
        """Every key by name, a page at a time; `cursor` is the last name of the page before."""
        try:
            limit = int(request.query.get("limit", "50"))
        except ValueError as error:
            raise BadBody(400, "limit must be a whole number.") from error
        if not 1 <= limit <= _PAGE:
            raise BadBody(400, f"limit must lie between 1 and {_PAGE}.")
        after, now = request.query.get("cursor", ""), _now()
        await self._watch.refresh()
        found = [key for key in self._watch.keys if key.name > after]
        following = found[limit - 1].name if len(found) > limit else None
        return _json({"items": [shown(key, now) for key in found[:limit]], "next": following})

    async def one(self, request: web.Request) -> web.Response:
        """One key, without its secret."""
        return _json(shown(await asyncio.to_thread(key_changes.get, self._store(), _name(request)), _now()))

    async def create(self, request: web.Request) -> web.Response:
        """Add a key; the answer holds its secret, this once."""
        document = key_changes.parse(await json_body(request), self._providers())
        key, secret = await asyncio.to_thread(self._created, document, _actor(request))
        self._watch.apply(key)
        return _json({**shown(key, _now()), "secret": secret}, 201)

    async def replace(self, request: web.Request) -> web.Response:
        """Change a key's document; `version` is the one it was read in."""
        raw = await json_body(request)
        version = _version(raw.pop("version", None))
        document = key_changes.parse({"name": _name(request), **raw}, self._providers())
        return await self._change(key_changes.replace, request, document=document, version=version)

    async def rotate(self, request: web.Request) -> web.Response:
        """Give a key a new secret; the answer holds it, this once. The old ones go on for `overlap_s` seconds."""
        overlap = timedelta(seconds=(await posted(request, RotateBody)).overlap_s)
        name, by = _name(request), _actor(request)

        def change() -> tuple[StoredKey, str]:
            return key_changes.rotate(self._store(), name, by=by, now=_now(), overlap=overlap)

        key, secret = await asyncio.to_thread(change)
        self._watch.apply(key)
        return _json({**shown(key, _now()), "secret": secret})

    async def enable(self, request: web.Request) -> web.Response:
        """Let a key be used again."""
        await posted(request, NoBody)
        return await self._change(key_changes.switch, request, enabled=True)

    async def disable(self, request: web.Request) -> web.Response:
        """Refuse a key from now on, at every proxy of this home; 202 where the store has yet to be told."""
        await posted(request, NoBody)
        name, by = _name(request), _actor(request)
        off = self._watch.switch_off(name, by=by, at=_now())
        try:
            key = await asyncio.wait_for(asyncio.to_thread(self._switched_off, name, by), PATIENCE_S)
        except (StoreError, TimeoutError) as error:
            if off is None:
                raise StoreUnavailable(f"the store does not answer, and no key {name!r} is known here") from error
            return _json(shown(off, _now()), 202)
        self._watch.apply(key)
        return _json(shown(key, _now()))

    async def revoke(self, request: web.Request) -> web.Response:
        """End a key for good."""
        return await self._change(key_changes.revoke, request)

    def _created(self, document: KeyDocument, by: str) -> tuple[StoredKey, str]:
        return key_changes.create(self._store(), document, by=by, now=_now())

    def _switched_off(self, name: str, by: str) -> StoredKey:
        return key_changes.switch(self._store(), name, enabled=False, by=by, now=_now())

    async def _change(self, change: Callable[..., StoredKey], request: web.Request, **settings: Any) -> web.Response:
        name, by, asked_at = _name(request), _actor(request), _now()
        key = await asyncio.to_thread(lambda: change(self._store(), name, by=by, now=_now(), **settings))
        self._watch.apply(key, enabled_at=asked_at if _enables(settings) else None)
        return _json(shown(key, _now()))


def routes(api: KeysApi) -> tuple[ApiRoute, ...]:
    """Return the routes of `api`."""
    one, away = "/api/keys/{name}", {503: "The store does not answer."}
    bad = {400: "What was posted is at fault.", 413: "It is too large.", 415: "It is not JSON."}
    missing = {404: "There is no such key.", 409: "It was changed meanwhile."}

    def route(method: str, path: str, handler: Any, summary: str, **more: Any) -> ApiRoute:
        return ApiRoute(method, path, with_problems(handler), summary, **{"result": KEY, **more})

    changed = {200: "The key.", **bad, **missing, **away}
    return (
        route(
            "GET",
            "/api/keys",
            api.listing,
            "Virtual keys, by name",
            query=("limit", "cursor"),
            result=KEYS,
            answers={200: "A page of keys.", 400: "A parameter is at fault."},
        ),
        route(
            "POST",
            "/api/keys",
            api.create,
            "Make a virtual key; its secret is in the answer, once",
            body=KeyDocument,
            result=NEW_KEY,
            answers={201: "The key with its secret.", **bad, 409: "The name is in use.", **away},
        ),
        route("GET", one, api.one, "One virtual key", answers={200: "The key.", 404: missing[404], **away}),
        route("PUT", one, api.replace, "Change what a key says", body=KeyChange, answers=changed),
        route("DELETE", one, api.revoke, "End a key for good", answers={200: "The key.", **missing, **away}),
        route(
            "POST",
            f"{one}/rotate",
            api.rotate,
            "Give a key a new secret, once shown",
            body=RotateBody,
            result=NEW_KEY,
            answers=changed,
        ),
        route(
            "POST",
            f"{one}/disable",
            api.disable,
            "Refuse a key from now on",
            body=NoBody,
            answers={**changed, 202: "The key: it is off, and the store will be told."},
        ),
        route("POST", f"{one}/enable", api.enable, "Let a key be used again", body=NoBody, answers=changed),
    )


def _enables(settings: Mapping[str, Any]) -> bool:
    """Whether a change says itself that the key is to be enabled."""
    document = settings.get("document")
    return bool(settings.get("enabled")) or (
        isinstance(document, KeyDocument) and "enabled" in document.model_fields_set and document.enabled
    )


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_encoder.encode(value), content_type="application/json")


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if not name.isprintable() or len(name) > _PAGE:
        raise NoSuchKey("there is no key of such a name")
    return name


def _actor(request: web.Request) -> str:
    return clean(request.headers.get("X-Actor", ""), _LONGEST_NAME) or "api"


def _version(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 < value < _VERSIONS:
        raise KeyFault("version: must be a whole number, the one that was read")
    return value


def _now() -> datetime:
    return datetime.now(UTC)
