"""Virtual keys for tests."""

from datetime import UTC, datetime, timedelta

from data.keys import KeyDocument, StoredKey, new_secret

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def key(name: str = "ci", **document) -> tuple[StoredKey, str]:
    text, secret = new_secret()
    made = KeyDocument(name=name, **document)
    return StoredKey(document=made, secrets=(secret,), created_at=NOW, updated_at=NOW), text


def in_a_minute() -> datetime:
    return NOW + timedelta(minutes=1)
