"""Who a call belongs to: read from its headers and its body's metadata, and never from anything secret."""

import hashlib
import re
from collections.abc import Mapping

import msgspec

from proxy.request import clean

#: Headers of ours; they are read here and never sent on.
OWN_PREFIX = "x-claude-proxy-"
_MAX_TAGS = 16
_MAX_LABEL = 200
#: Claude Code's `metadata.user_id`, up to 2.1.77; the account is empty without a login.
_CLAUDE_CODE = re.compile(r"user_(?P<device>[^_]*)_account_(?P<account>[^_]*)_session_(?P<session>.+)")


class Attribution(msgspec.Struct, frozen=True):
    """The ledger's "who" columns; '' where nothing was said."""

    key: str = ""
    user: str = ""
    team: str = ""
    project: str = ""
    session: str = ""
    agent: str = ""
    user_agent: str = ""
    tags: dict[str, str] = {}


class _Identity(msgspec.Struct, frozen=True):
    user: str = ""
    session: str = ""


_NOBODY = _Identity()


class _UserId(msgspec.Struct):
    device_id: str = ""
    account_uuid: str = ""
    session_id: str = ""


_user_id_decoder = msgspec.json.Decoder(_UserId)


def attribute(headers: Mapping[str, str], user_id: str = "", *, project: str = "") -> Attribution:
    """Return who calls. Headers of ours win over Claude Code's, these over `user_id` (see `RequestFacts`)."""
    identity = _identity(user_id) if user_id else _NOBODY
    session = _said(headers, "x-claude-proxy-session") or _said(headers, "x-claude-code-session-id")
    tags = headers.get("x-claude-proxy-tags")
    return Attribution(
        key=key_label(headers),
        user=_said(headers, "x-claude-proxy-user") or identity.user,
        team=_said(headers, "x-claude-proxy-team"),
        project=project or _said(headers, "x-claude-proxy-project"),
        session=session or identity.session,
        agent=_said(headers, "x-claude-code-agent-id"),
        user_agent=_said(headers, "user-agent"),
        tags=_tags(tags) if tags else {},
    )


def key_label(headers: Mapping[str, str]) -> str:
    """Return `key-` and 8 hex digits of the credential's SHA-256, from which it cannot be told; '' without one."""
    secret = (
        headers.get("x-api-key")
        or headers.get("authorization", "").partition(" ")[2].strip()
        or headers.get("x-goog-api-key")
    )
    if not secret:
        return ""
    return "key-" + hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _said(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    return clean(value, _MAX_LABEL).strip() if value else ""


def _identity(user_id: str) -> _Identity:
    if found := _CLAUDE_CODE.fullmatch(user_id):
        return _Identity(found["account"] or found["device"], found["session"][:_MAX_LABEL])
    if user_id.startswith("{"):
        try:
            said = _user_id_decoder.decode(user_id)
        except msgspec.MsgspecError:
            return _NOBODY
        return _Identity(clean(said.account_uuid or said.device_id, _MAX_LABEL), clean(said.session_id, _MAX_LABEL))
    return _Identity(user_id[:_MAX_LABEL])


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",")[:_MAX_TAGS])
    tags = {clean(name, 64).strip(): clean(value, _MAX_LABEL).strip() for name, _, value in pairs}
    tags.pop("", None)
    return tags
