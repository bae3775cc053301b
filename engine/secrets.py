"""Secrets at rest: encrypted with a key that only this home's owner can read, or with one that is configured."""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from data.errors import ConfigError
from engine.errors import SecretUnreadable

#: What stands for a secret wherever one would be shown; sent back unchanged it keeps the stored one.
MASK = "••••••••"


class SecretBox:
    """Encrypts and decrypts the secret fields of a channel. Thread-safe.

    `key`: 32 bytes in base64 instead of those of the home's own file, which still opens what was encrypted with it; ''
    for none. Raises ConfigError where it is no such key.
    """

    def __init__(self, home: Path, key: str = "") -> None:
        file = home / "secret.key"
        keys = [_given(key)] if key else []
        if not key or file.exists():
            keys.append(Fernet(_key(file)))
        self._fernet = MultiFernet(keys)

    def seal(self, fields: Mapping[str, Any]) -> str:
        """Encrypted JSON of `fields`; '' for none."""
        return self._fernet.encrypt(orjson.dumps(dict(fields))).decode() if fields else ""

    def open(self, sealed: str) -> dict[str, Any]:
        """The fields again; raises SecretUnreadable when they were sealed with another key."""
        if not sealed:
            return {}
        try:
            fields: dict[str, Any] = orjson.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken as error:
            raise SecretUnreadable("the secret was encrypted with another key; enter it again") from error
        return fields


def _given(key: str) -> Fernet:
    try:
        return Fernet(key.strip())
    except ValueError as error:
        raise ConfigError("worker.secret_key: must be 32 bytes in base64 (openssl rand -base64 32)") from error


def _key(path: Path) -> bytes:
    """The key file's content; made with mode 0600 on first use, whoever comes first wins."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_bytes().strip()


def redacted(text: str, hidden: Mapping[str, Any]) -> str:
    """`text` with every secret value of `hidden` (also nested ones, of four characters or more) replaced.

    Long words of a value count too: who sends `Bearer TOKEN` may be answered with the token alone.
    """
    for value in sorted(_values(hidden), key=len, reverse=True):
        text = text.replace(value, MASK)
    return text


def _values(tree: Any) -> list[str]:
    if isinstance(tree, Mapping):
        return [value for item in tree.values() for value in _values(item)]
    if not isinstance(tree, str):
        return []
    return [part for part, least in ((tree, 4), *((word, 8) for word in tree.split())) if len(part) >= least]
