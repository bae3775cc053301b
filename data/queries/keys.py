"""Virtual keys in the store, for programs that have no SQLAlchemy: rows of `api_keys` as they are read and changed."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from data.keys import StoredKey
from data.protocol import Change, naive_utc, wire

_COLUMNS: Final = ("name", "document", "secrets", "version", "created_at", "updated_at", "revoked_at")
_LISTED: Final = ", ".join(_COLUMNS)
#: Keys are few: a store that takes longer hangs.
_DEADLINE_S: Final = 5.0


class KeyStore(Protocol):
    """A connection that answers with plain rows and takes changes; `data.connection.Connection` is one."""

    def rows(
        self, sql: str, params: Sequence[object] = (), *, deadline_s: float = ..., max_rows: int = ...
    ) -> list[dict[str, Any]]:
        """The answer to a SELECT."""
        ...

    def transact(self, changes: Sequence[Change]) -> list[int]:
        """Run changes, all or none. Raises `ConflictError`."""
        ...


def every(store: KeyStore) -> list[StoredKey]:
    """All keys by name, revoked ones too."""
    return [
        StoredKey.from_row(row)
        for row in store.rows(f"SELECT {_LISTED} FROM api_keys ORDER BY name", deadline_s=_DEADLINE_S)
    ]


def by_name(store: KeyStore, name: str) -> StoredKey | None:
    """The key of that name."""
    found = store.rows(f"SELECT {_LISTED} FROM api_keys WHERE name = ?", [name], deadline_s=_DEADLINE_S)
    return StoredKey.from_row(found[0]) if found else None


def stamp(store: KeyStore) -> str:
    """What changes whenever a key does: reading it is cheaper than reading them."""
    sql = "SELECT count(*) AS keys, sum(version) AS versions, max(updated_at) AS at FROM api_keys"
    (row,) = store.rows(sql, deadline_s=_DEADLINE_S)
    return f"{row['keys']} {row['versions']} {row['at']}"


def adding(key: StoredKey) -> Change:
    """Insert a key; changes nothing where one of its name is there."""
    places = ", ".join("?" for _ in _COLUMNS)
    sql = (
        f"INSERT INTO api_keys ({_LISTED}) SELECT {places} WHERE NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.name = ?)"
    )
    return Change(sql, wire([*_values(key), key.name]), 1)


def replacing(key: StoredKey) -> Change:
    """Overwrite a key whose stored version is the one before."""
    sql = (
        "UPDATE api_keys SET document = ?, secrets = ?, version = ?, updated_at = ?, revoked_at = ? "
        "WHERE name = ? AND version = ?"
    )
    _, document, secrets, version, _, updated_at, revoked_at = _values(key)
    return Change(sql, wire([document, secrets, version, updated_at, revoked_at, key.name, key.version - 1]), 1)


def auditing(entry_id: str, key: StoredKey, *, actor: str, action: str, detail: Mapping[str, Any]) -> Change:
    """The audit log's line of a change, made when the key was updated; `detail` holds no secrets."""
    sql = (
        'INSERT INTO audit_log (id, "at", actor, action, object_kind, object_id, detail) '
        "VALUES (?, ?, ?, ?, 'key', ?, ?)"
    )
    told = msgspec.json.encode(detail).decode()
    return Change(sql, wire([entry_id, naive_utc(key.updated_at), actor, action, key.name, told]), 1)


def _values(key: StoredKey) -> list[object]:
    return [
        key.name,
        key.document.model_dump_json(),
        key.secrets_json(),
        key.version,
        naive_utc(key.created_at),
        naive_utc(key.updated_at),
        None if key.revoked_at is None else naive_utc(key.revoked_at),
    ]
