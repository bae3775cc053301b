"""Who a call belongs to: read from its headers and its body's metadata, and never from anything secret.

What a virtual key is owned by wins; then the path's project, then headers of ours, then what Claude Code says in
headers of its own, then `metadata.user_id`. Not read: OpenAI's `metadata`, which is the caller's own data, and
`OpenAI-Organization`, which names who pays the provider, as the credential does.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Final

import msgspec
from yarl import URL

from proxy.request import clean

#: Headers of ours; they are read here and never sent on.
OWN_PREFIX = "x-claude-proxy-"
_TAG_PREFIX: Final = f"{OWN_PREFIX}tag-"
_MAX_TAGS = 16
_MAX_LABEL = 200
_MAX_TAG_NAME = 64
_KEPT: Final = 1024
#: What Claude Code may say of a request in headers, and the tags it becomes. The last two only with its setting
#: CLAUDE_CODE_GATEWAY_HINT_HEADERS: main, subagent, workflow, compaction or auxiliary; Explore, Plan, custom …
_HINTS: Final = (
    ("x-claude-code-parent-agent-id", "parent_agent"),
    ("x-claude-code-request-class", "request_class"),
    ("x-claude-code-agent-type", "agent_type"),
)
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


class Forced(msgspec.Struct, frozen=True):
    """What a virtual key says of all its calls, whatever these say themselves; '' leaves them their word."""

    key: str = ""  # the key's name
    user: str = ""
    team: str = ""
    project: str = ""
    tags: dict[str, str] = {}


class _Identity(msgspec.Struct, frozen=True):
    """What a `user_id` says."""

    user: str = ""
    session: str = ""
    agent: str = ""


class _Own(msgspec.Struct, frozen=True):
    """What headers of ours say."""

    user: str = ""
    team: str = ""
    project: str = ""
    session: str = ""
    tags: dict[str, str] = {}


class Said(msgspec.Struct, frozen=True):
    """What headers say of who calls; `key` is their credential's label (`key_label`)."""

    own: _Own
    key: str = ""
    project: str = ""
    session: str = ""
    agent: str = ""
    user_agent: str = ""
    tags: dict[str, str] = {}


_NOBODY = _Identity()
_SILENT = _Own()
_NOT_FORCED = Forced()


class _UserId(msgspec.Struct):
    device_id: str | None = ""
    account_uuid: str | None = ""
    session_id: str | None = ""
    parent_session_id: str | None = ""  # of a session that another one started


_user_id_decoder = msgspec.json.Decoder(_UserId)


def said_by(headers: Mapping[str, str]) -> Said:
    """Return what a request's headers say."""
    # one look at all names is cheaper than one for each of ours, which most calls have none of
    own = _own(headers) if OWN_PREFIX in "\n".join(headers).lower() else _SILENT
    session = _said(headers, "x-claude-code-session-id")
    tags = own.tags
    if session:
        tags = {name: said for header, name in _HINTS if (said := _said(headers, header))} | tags
    return Said(
        own,
        key=key_label(headers),
        project=_said(headers, "openai-project"),
        session=session,
        agent=_said(headers, "x-claude-code-agent-id"),
        user_agent=_said(headers, "user-agent"),
        tags=tags,
    )


def attribute(
    said: Said,
    user_id: str = "",
    *,
    project: str = "",
    forced: Forced = _NOT_FORCED,
    url: URL | None = None,
) -> Attribution:
    """Return who calls.

    `said`: what the headers say; `user_id`: see `RequestFacts`; `project`: the one in the path; `url`: may carry the
    key. A sub-agent's call belongs to its parent's session; `agent` tells which one it was.
    """
    own, identity = said.own, _identity(user_id) if user_id else _NOBODY
    # of a session that another one started, the body alone says so
    session = identity.session if identity.agent else said.session or identity.session
    return Attribution(
        key=forced.key or said.key or (key_label({}, url) if url is not None else ""),
        user=forced.user or own.user or identity.user,
        team=forced.team or own.team,
        project=forced.project or (_label(project) if project else "") or own.project or said.project,
        session=own.session or session,
        agent=said.agent or identity.agent,
        user_agent=said.user_agent,
        tags=said.tags | forced.tags if forced.tags else said.tags,
    )


def key_label(headers: Mapping[str, str], url: URL | None = None) -> str:
    """Return `key-` and 8 hex digits of the credential's SHA-256, from which it cannot be told; '' without one."""
    secret = headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2].strip()
    secret = secret or headers.get("x-goog-api-key") or headers.get("api-key", "")
    if not secret and url is not None and url.raw_query_string:
        secret = url.query.get("key", "")
    if not secret:
        return ""
    return "key-" + hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _said(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    return _label(value) if value else ""


@lru_cache(_KEPT)
def _label(value: str) -> str:
    return clean(value, _MAX_LABEL).strip()


@lru_cache(_KEPT)
def _identity(user_id: str) -> _Identity:
    if found := _CLAUDE_CODE.fullmatch(user_id):
        return _Identity(found["account"] or found["device"], found["session"][:_MAX_LABEL])
    if user_id.startswith("{"):
        try:
            said = _user_id_decoder.decode(user_id)
        except msgspec.MsgspecError:
            return _NOBODY
        user = clean(said.account_uuid or said.device_id, _MAX_LABEL)
        session, parent = clean(said.session_id, _MAX_LABEL), clean(said.parent_session_id, _MAX_LABEL)
        return _Identity(user, parent, session) if parent else _Identity(user, session)
    return _Identity(user_id[:_MAX_LABEL])


def _own(headers: Mapping[str, str]) -> _Own:
    return _Own(
        user=_said(headers, "x-claude-proxy-user"),
        team=_said(headers, "x-claude-proxy-team"),
        project=_said(headers, "x-claude-proxy-project"),
        session=_said(headers, "x-claude-proxy-session"),
        tags=_tags(headers),
    )


def _tags(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the list, and those that have a header each, which win."""
    tags = _listed(headers.get("x-claude-proxy-tags", ""))
    for name in [name for name in headers if len(name) > len(_TAG_PREFIX)]:
        if (lower := name.lower()).startswith(_TAG_PREFIX):
            tags[_label(lower.removeprefix(_TAG_PREFIX))[:_MAX_TAG_NAME]] = _said(headers, name)
    tags.pop("", None)
    return dict(islice(tags.items(), _MAX_TAGS))


def _listed(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",")[:_MAX_TAGS])
    return {clean(name, _MAX_TAG_NAME).strip(): clean(value, _MAX_LABEL).strip() for name, _, value in pairs}
