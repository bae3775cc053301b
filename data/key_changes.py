"""What can be done to virtual keys. Each change is made from the version it was seen in, and leaves an audit row."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import uuid_utils
from pydantic import ValidationError

from data.errors import ConflictError, KeyFault, NoSuchKey
from data.keys import KeyDocument, Secret, StoredKey, new_secret
from data.queries import keys as rows
from data.queries.keys import KeyStore
from data.route_checks import listed_route_faults

USUAL_OVERLAP = timedelta(hours=24)
#: Secrets that a key may have at once.
MAX_SECRETS = 5


def parse(raw: Mapping[str, Any], providers: Collection[str] = ()) -> KeyDocument:
    """Return the document, whose routes lead to `providers`. Raises `KeyFault`, which names every faulty field."""
    try:
        document = KeyDocument.model_validate(raw)
    except ValidationError as error:
        raise KeyFault("; ".join(_told(fault) for fault in error.errors(include_url=False))) from error
    if faults := list(listed_route_faults(dict(raw), providers)):
        raise KeyFault("; ".join(f"{'.'.join(map(str, fault.place))}: {fault.said}" for fault in faults))
    return document


def get(store: KeyStore, name: str) -> StoredKey:
    """Return a key. Raises `NoSuchKey`."""
    found = rows.by_name(store, name)
    if found is None:
        raise NoSuchKey(f"there is no key named {name!r}")
    return found


def create(store: KeyStore, document: KeyDocument, *, by: str, now: datetime) -> tuple[StoredKey, str]:
    """Add a key; return it with its secret, which nobody can show again. Raises `ConflictError` for a name in use."""
    text, secret = new_secret()
    key = StoredKey(document=document, secrets=(secret,), created_at=now, updated_at=now)
    try:
        detail = {"shown": secret.shown, "document": _told_of(document)}
        store.transact([rows.adding(key), _audit(key, by, "create", detail)])
    except ConflictError as error:
        raise ConflictError(f"a key named {key.name!r} is there already, or was; choose another name") from error
    return key, text


def replace(
    store: KeyStore, name: str, document: KeyDocument, *, by: str, now: datetime, version: int | None = None
) -> StoredKey:
    """Change what a key says. Its name stays, and where the document does not say whether it is enabled, that too.

    Raises `NoSuchKey`, `ConflictError`, `KeyFault`.
    """
    old = get(store, name)
    if document.name != name:
        raise KeyFault("name: a key's name cannot be changed, the ledger knows its calls by it")
    if "enabled" not in document.model_fields_set:
        document = document.model_copy(update={"enabled": old.document.enabled})
    detail = {"document": _told_of(document)}
    return _changed(
        store, old, {"document": document}, by=by, action="replace", now=now, version=version, detail=detail
    )


def amend(store: KeyStore, name: str, changes: Mapping[str, Any], *, by: str, now: datetime) -> StoredKey:
    """Change some fields of what a key says, and nothing else. Raises `NoSuchKey`, `ConflictError`, `KeyFault`."""
    if not changes:
        raise KeyFault("nothing was said that is to be changed")
    said = parse({"name": name, **changes})
    old = get(store, name)
    document = old.document.model_copy(update={field: getattr(said, field) for field in changes})
    return replace(store, name, document, by=by, now=now, version=old.version)


def switch(
    store: KeyStore, name: str, *, enabled: bool, by: str, now: datetime, decided_at: datetime | None = None
) -> StoredKey:
    """Enable or disable a key; one that is so already stays as it is. `decided_at`: when, if that was earlier.

    Raises `NoSuchKey`, `ConflictError`, `KeyFault` where it is revoked.
    """
    old = get(store, name)
    if old.document.enabled == enabled and old.revoked_at is None:
        return old
    document = old.document.model_copy(update={"enabled": enabled})
    detail = {"decided_at": decided_at.isoformat()} if decided_at else {}
    action = "enable" if enabled else "disable"
    return _changed(store, old, {"document": document}, by=by, action=action, now=now, detail=detail)


def rotate(
    store: KeyStore, name: str, *, by: str, now: datetime, overlap: timedelta = USUAL_OVERLAP
) -> tuple[StoredKey, str]:
    """Give a key a new secret; the old ones end after `overlap`. Raises `NoSuchKey`, `ConflictError`, `KeyFault`."""
    old = get(store, name)
    text, secret = new_secret()
    ends = now + max(overlap, timedelta(0))
    kept = tuple(_ending(each, ends) for each in old.secrets if each.expires_at is None or each.expires_at > now)
    detail = {"shown": secret.shown, "old_until": ends.isoformat()}
    secrets = (secret, *kept) if overlap > timedelta(0) else (secret,)
    if len(secrets) > MAX_SECRETS:
        raise KeyFault(
            f"{name!r} has {len(kept)} secrets that still hold; rotate it without overlap to end them, or wait"
        )
    changed = _changed(store, old, {"secrets": secrets}, by=by, action="rotate", now=now, detail=detail)
    return changed, text


def revoke(store: KeyStore, name: str, *, by: str, now: datetime) -> StoredKey:
    """End a key for good; its row stays for the record. Raises `NoSuchKey`; one that is revoked stays as it is."""
    old = get(store, name)
    if old.revoked_at is not None:
        return old
    return _changed(store, old, {"revoked_at": now, "secrets": ()}, by=by, action="revoke", now=now)


def _changed(
    store: KeyStore,
    old: StoredKey,
    changes: Mapping[str, Any],
    *,
    by: str,
    action: str,
    now: datetime,
    version: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> StoredKey:
    if old.revoked_at is not None:
        raise KeyFault(f"the key {old.name!r} is revoked, and stays so")
    seen = old.version if version is None else version
    if seen != old.version:
        raise ConflictError(f"the key {old.name!r} has version {old.version} by now, not {seen}; read it again")
    new = old.model_copy(update={**changes, "version": old.version + 1, "updated_at": now})
    store.transact([rows.replacing(new), _audit(new, by, action, detail or {})])
    return new


def _audit(key: StoredKey, by: str, action: str, detail: Mapping[str, Any]) -> Any:
    entry = str(uuid_utils.uuid7())
    return rows.auditing(entry, key, actor=by, action=f"key.{action}", detail={"version": key.version, **detail})


def _told_of(document: KeyDocument) -> dict[str, Any]:
    return document.model_dump(mode="json", exclude_defaults=True)


def _ending(secret: Secret, at: datetime) -> Secret:
    ends = at if secret.expires_at is None else min(secret.expires_at, at)
    return secret.model_copy(update={"expires_at": ends})


def _told(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the document"
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
