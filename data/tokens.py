"""The two secrets that open the store: whoever can read a role's token file in HOME has that role."""

import hmac
import os
import secrets
from enum import StrEnum
from pathlib import Path

from data.errors import StoreUnavailable


class Role(StrEnum):
    """What a token opens."""

    WRITER = "writer"  # our own programs
    READER = "reader"  # anything a person types


def token_path(home: Path, role: Role) -> Path:
    """Where a role's token lies."""
    return home / f"{role}.token"


def create_tokens(home: Path) -> dict[Role, str]:
    """Every role's token; the ones that do not exist yet are made, readable by the owner alone."""
    for role in Role:
        _create(token_path(home, role))
    return {role: read_token(home, role) for role in Role}


def read_token(home: Path, role: Role) -> str:
    """A role's token. Raises `StoreUnavailable` when there is none (the store makes it at its first start)."""
    path = token_path(home, role)
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise StoreUnavailable(f"the {role} token cannot be read from {path}: {error.strerror}") from error
    if not token:
        raise StoreUnavailable(f"{path} is empty; delete it and restart the store to make a new one")
    return token


def role_of(tokens: dict[Role, str], presented: str) -> Role | None:
    """The role a presented token opens; every token is compared, in constant time."""
    matches = [role for role, token in tokens.items() if hmac.compare_digest(token.encode(), presented.encode())]
    return matches[0] if matches else None


def _create(path: Path) -> None:
    # written aside and linked into place: no reader ever sees half a token
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
