"""Virtual keys: what callers present instead of a provider's credential, who they are by it, and what they may do.

The secret is 256 random bits, shown once. What is kept is its SHA-256: nobody can guess such a secret, so a slow hash
would protect nothing more, and a fast one costs a call nothing.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from data.model import Endpoint
from data.route_config import RouteConfig

PREFIX: Final = "cpk_"
SHOWN: Final = 8  # characters of a secret that may be seen
_STRICT = ConfigDict(extra="forbid", frozen=True)
#: What the ledger calls callers without a virtual key, and what a secret begins with.
_TAKEN: Final = re.compile(r"key-[0-9a-f]{8}|cpk_.*")


def _free(name: str) -> str:
    if _TAKEN.fullmatch(name):
        raise ValueError("must not look like a secret, nor like the label of a caller without a virtual key")
    return name


Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.@+ -]{0,99}$", strip_whitespace=True), AfterValidator(_free)
]
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)]
TagName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f,=]+$")]
Glob = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", strip_whitespace=True)
]
Limit = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]


class KeyDocument(BaseModel):
    """A key as people write it. Empty lists allow everything; limits are this proxy's, None for none.

    `owner`, `team`, `project` and `tags` are what the ledger says of its calls, whatever their headers say.
    """

    model_config = _STRICT

    name: Name
    owner: Text = ""
    team: Text = ""
    project: Text = ""
    tags: Annotated[dict[TagName, Text], Field(max_length=16)] = Field(default_factory=dict)
    models: Annotated[tuple[Glob, ...], Field(max_length=100)] = ()
    endpoints: tuple[Endpoint, ...] = ()
    routes: Annotated[tuple[RouteConfig, ...], Field(max_length=100)] = ()
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    max_parallel: Limit | None = None
    expires_at: AwareDatetime | None = None
    enabled: bool = True


class Secret(BaseModel):
    """One secret of a key: its digest (SHA-256, hex), the characters that may be seen, and when it ends."""

    model_config = _STRICT

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    shown: str
    expires_at: AwareDatetime | None = None


class StoredKey(BaseModel):
    """A key with what the store knows of it; `version` counts its changes, `revoked_at` is final."""

    model_config = _STRICT

    document: KeyDocument
    secrets: tuple[Secret, ...]
    version: int = 1
    created_at: AwareDatetime
    updated_at: AwareDatetime
    revoked_at: AwareDatetime | None = None

    @property
    def name(self) -> str:
        """Its name, by which the ledger knows it."""
        return self.document.name

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the key of a row of `api_keys`, whose times are naive UTC."""
        return cls(
            document=KeyDocument.model_validate_json(row["document"]),
            secrets=_SECRETS.validate_json(row["secrets"]),
            version=row["version"],
            created_at=_aware(row["created_at"]),
            updated_at=_aware(row["updated_at"]),
            revoked_at=_aware(row["revoked_at"]) if row["revoked_at"] is not None else None,
        )

    def secrets_json(self) -> str:
        """Return the secrets as the store keeps them."""
        return _SECRETS.dump_json(self.secrets).decode()


_SECRETS: TypeAdapter[tuple[Secret, ...]] = TypeAdapter(tuple[Secret, ...])


def new_secret() -> tuple[str, Secret]:
    """Return a fresh secret, and what is kept of it."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, Secret(digest=digest(text), shown=text[: len(PREFIX) + SHOWN])


def digest(presented: str) -> str:
    """Return a secret's SHA-256 in hex; whatever text is presented has one."""
    return hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()


def shown(key: StoredKey, now: datetime) -> dict[str, Any]:
    """Return a key as an API may show it: without its digests."""
    document = key.document.model_dump(mode="json")
    alive = [
        {"shown": f"{secret.shown}…", "expires_at": _json_time(secret.expires_at)}
        for secret in key.secrets
        if secret.expires_at is None or secret.expires_at > now
    ]
    return {
        **document,
        "status": status(key, now),
        "secrets": alive,
        "version": key.version,
        "created_at": _json_time(key.created_at),
        "updated_at": _json_time(key.updated_at),
        "revoked_at": _json_time(key.revoked_at),
    }


def status(key: StoredKey, now: datetime) -> str:
    """Return `active`, `disabled`, `expired` or `revoked`."""
    if key.revoked_at is not None:
        return "revoked"
    if not key.document.enabled:
        return "disabled"
    expires_at = key.document.expires_at
    return "expired" if expires_at is not None and expires_at <= now else "active"


def _json_time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
