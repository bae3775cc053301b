"""The virtual keys this proxy knows, by the digest of what callers present."""

import fnmatch
import hmac
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from multidict import MultiMapping, istr

from data.keys import PREFIX, StoredKey, digest
from data.model import Endpoint
from data.route_config import RouteConfig
from proxy.admission.limits import Limits
from proxy.attribution import Forced

_OWN: Final = istr("x-claude-proxy-key")
#: Headers that clients put a credential into, and so a virtual key. (`istr`: looked up without being lowered.)
CREDENTIALS: Final = (istr("x-api-key"), istr("x-goog-api-key"), istr("authorization"), istr("api-key"))
_NONE: Final[list[str]] = []


class VirtualKey:
    """A key as calls are held to it. `ends_s`: when this secret of it ends, seconds since the epoch; None: never."""

    __slots__ = ("_models", "enabled", "endpoints", "ends_s", "forced", "limits", "name", "routes", "secret")

    def __init__(self, stored: StoredKey, secret: str, ends_s: float | None, limits: Limits) -> None:
        document = stored.document
        self.name = document.name
        self.secret = secret  # its digest
        self.enabled = document.enabled
        self.ends_s = ends_s
        self.limits = limits
        self.endpoints = frozenset(document.endpoints)
        self.routes: tuple[RouteConfig, ...] = document.routes
        self.forced = Forced(document.name, document.owner, document.team, document.project, document.tags)
        globs = "|".join(fnmatch.translate(pattern) for pattern in document.models)
        self._models = re.compile(globs) if globs else None

    def allows_model(self, model: str) -> bool:
        """Whether calls may ask for this model."""
        return self._models is None or self._models.match(model) is not None

    @property
    def is_for_models(self) -> bool:
        """Whether it is for certain models alone."""
        return self._models is not None

    def allows_endpoint(self, endpoint: Endpoint) -> bool:
        """Whether calls may be made to this endpoint."""
        return not self.endpoints or endpoint in self.endpoints

    @property
    def is_limited(self) -> bool:
        """Whether it has any limit."""
        limits = self.limits
        return not (limits.requests is None and limits.tokens is None and limits.parallel is None)


class KeyRing:
    """All keys, found by what is presented.

    Looking a digest up takes time that depends on the digest alone, which says nothing of other secrets: whoever can
    choose what is presented cannot choose its SHA-256. The digest found is compared once more in constant time.
    """

    def __init__(self, begin: Callable[[Limits], object] | None = None) -> None:
        """`begin` is told of each key's limits when the key is new."""
        self._begin = begin
        self._by_digest: dict[str, VirtualKey] = {}
        self._limits: dict[str, Limits] = {}
        self.known = False  # whether any source has told which keys there are
        self.version = 0  # grows with each change

    def __len__(self) -> int:
        """How many secrets there are."""
        return len(self._by_digest)

    def replace(self, keys: Iterable[StoredKey]) -> None:
        """Know these keys and no others; what a key has used counts on."""
        found: dict[str, VirtualKey] = {}
        limits: dict[str, Limits] = {}
        for key in keys:
            if key.revoked_at is not None:
                continue
            document = key.document
            wanted = (document.requests_per_minute, document.tokens_per_minute, document.max_parallel)
            held = limits[key.name] = self._limits.get(key.name) or self._new(key.name)
            held.change(*wanted)
            for secret in key.secrets:
                ends_s = _earliest(document.expires_at, secret.expires_at)
                found[secret.digest] = VirtualKey(key, secret.digest, ends_s, held)
        self._by_digest, self._limits, self.known = found, limits, True
        self.version += 1

    def _new(self, name: str) -> Limits:
        limits = Limits(None, None, None, name)
        if self._begin is not None:
            self._begin(limits)
        return limits

    def find(self, presented: str) -> VirtualKey | None:
        """Return the key whose secret this is, whatever state it is in."""
        hashed = digest(presented)
        found = self._by_digest.get(hashed)
        return found if found is not None and hmac.compare_digest(found.secret, hashed) else None


def presented_key(headers: MultiMapping[str], query: MultiMapping[str]) -> str:
    """Return the virtual key that a request carries, wherever its client puts credentials; '' for none.

    What stands in our own header is meant to be one, whatever it looks like.
    """
    if own := headers.get(_OWN):
        return _without_scheme(own)
    for name in CREDENTIALS:
        for value in headers.getall(name, _NONE):
            if PREFIX in value and (text := _without_scheme(value)).startswith(PREFIX):
                return text
    said = query.getall("key", _NONE) if query else _NONE
    return next((text for text in said if text.startswith(PREFIX)), "")


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if rest and scheme.lower() == "bearer" else value.strip()


def _earliest(*times: datetime | None) -> float | None:
    known = [at.timestamp() for at in times if at is not None]
    return min(known) if known else None
