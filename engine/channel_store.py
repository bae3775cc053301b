"""Channels as they are kept: a name that rules refer to, a form filled in, and its secrets, encrypted."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from data.errors import ConflictError
from data.queries import budgets as budget_rows
from data.queries import channels as rows
from data.queries import rules as rule_rows
from data.queries.channels import ChannelRow
from data.store import Store
from engine import channel_form
from engine.audit import clock, entry, new_id
from engine.channels import CHANNELS, ChannelConfig, ChannelKind, veil
from engine.errors import NotFound, Refused, RuleError, SecretUnreadable, StaleVersion
from engine.secrets import MASK, SecretBox

#: The channel that is always there.
IN_APP_NAME = "in-app"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel without its secrets; `shown` is its config with every secret masked."""

    id: str
    name: str
    kind: str
    enabled: bool
    disabled_reason: str
    created_at: datetime
    updated_at: datetime
    shown: Mapping[str, Any]
    #: a secret that was generated just now, shown this once
    new_secret: str = ""


def every(store: Store) -> list[Channel]:
    """All channels by name, the built-in one included."""
    found = [_channel(row) for row in rows.every(store)]
    return sorted([*found, _channel(_built_in())], key=lambda channel: channel.name)


def names(store: Store) -> list[str]:
    """What rules can call a channel: every name, the built-in one's included."""
    return sorted([IN_APP_NAME, *(row.name for row in rows.every(store))])


def get(store: Store, channel_id: str) -> Channel:
    """One channel; raises NotFound."""
    return _channel(_row(store, channel_id))


def by_id(store: Store, channel_id: str) -> ChannelRow:
    """The stored row of a channel; raises NotFound."""
    return _row(store, channel_id)


def by_name(store: Store, name: str) -> ChannelRow | None:
    """The stored row of the channel a rule refers to."""
    return _built_in() if name == IN_APP_NAME else rows.by_name(store, name)


def all_by_name(store: Store) -> dict[str, ChannelRow]:
    """The stored rows of all channels, the built-in one's included, by the names that rules refer to."""
    return {row.name: row for row in (*rows.every(store), _built_in())}


def config_of(row: ChannelRow, box: SecretBox) -> tuple[ChannelConfig, dict[str, Any]]:
    """The complete form and, apart, its secret fields and parts of fields; raises RuleError or SecretUnreadable."""
    secrets, kind = box.open(row.secret), channel_form.kind_of(row.kind)
    config = channel_form.checked(kind, {**orjson.loads(row.config), **secrets})
    return config, {**secrets, **channel_form.in_addresses(config, kind)}


def create(
    store: Store, box: SecretBox, document: Mapping[str, Any], *, by: str, at: datetime | None = None
) -> Channel:
    """Add a channel; raises RuleError for a faulty form, StaleVersion when the name is taken."""
    asked = channel_form.posted(document)
    kind = channel_form.kind_of(asked.kind)
    fields = kind.complete(channel_form.unveiled(channel_form.without_masks(asked.config, kind), {}, kind))
    now = at or clock()
    row = ChannelRow(new_id(), asked.name, kind.name, asked.enabled, "", "", "", now, now)
    row = _filled(row, kind, fields, box)
    if asked.name == IN_APP_NAME:
        raise StaleVersion(f"a channel named {asked.name!r} already exists")
    try:
        store.transact([rows.adding(row), entry(by, "create", "channel", row.id, at=now, detail={"name": row.name})])
    except ConflictError as error:
        raise StaleVersion(f"a channel named {asked.name!r} already exists") from error
    made = "" if asked.config.get("secret") else str(fields.get("secret", ""))
    return replace(_channel(row), new_secret=made)


def update(
    store: Store,
    box: SecretBox,
    channel_id: str,
    document: Mapping[str, Any],
    *,
    by: str,
    read_at: datetime | None = None,
    at: datetime | None = None,
) -> Channel:
    """Change a channel; a secret left out or sent back masked stays. Kind and name stay as they are.

    Where a secret of its kind is rotated, the one before is kept beside the new one unless the document says otherwise.

    `read_at` is the `updated_at` that it is made from, where the document does not say (None: any). Raises NotFound,
    RuleError, Refused, or StaleVersion when somebody else changed it meanwhile.
    """
    old = _row(store, channel_id)
    asked = channel_form.posted({"name": old.name, "kind": old.kind, "enabled": old.enabled, **document})
    if channel_id == IN_APP_NAME or asked.kind != old.kind or asked.name != old.name:
        raise Refused("the name and kind of a channel cannot change: rules refer to it; make another channel instead")
    _check_unchanged(old, asked.updated_at or read_at)
    kind, now = channel_form.kind_of(old.kind), clock() if at is None else at
    kept = _kept(old, box)
    given = channel_form.unveiled(channel_form.without_masks(asked.config, kind), kept, kind)
    fields = {**kept, **channel_form.rotated(kind, kept, given), **given}
    row = _filled(replace(old, enabled=asked.enabled, updated_at=now), kind, fields, box)
    row = replace(row, disabled_reason="" if asked.enabled else old.disabled_reason)
    change = entry(by, "update", "channel", old.id, at=now, detail={"name": old.name, "enabled": asked.enabled})
    try:
        store.transact([rows.replacing(row, read_at=old.updated_at), change])
    except ConflictError as error:
        raise StaleVersion("the channel was changed meanwhile; read it again") from error
    return _channel(row)


def delete(
    store: Store, channel_id: str, *, by: str, read_at: datetime | None = None, at: datetime | None = None
) -> None:
    """Remove a channel; `read_at` is the `updated_at` of the one that is meant (None: any).

    Raises NotFound, StaleVersion when somebody changed it meanwhile, or Refused while rules or budgets notify through
    it.
    """
    row = _row(store, channel_id)
    _check_unchanged(row, read_at)
    users = [*rule_rows.referring_to(store, row.name), *_budgets_telling(store, row.name)]
    if channel_id == IN_APP_NAME or users:
        names = ", ".join(users) or "the app itself"
        raise Refused(f"channel {row.name!r} is in use by: {names}")
    change = entry(by, "delete", "channel", row.id, at=at or clock(), detail={"name": row.name})
    try:
        store.transact([rows.removing(row.id, read_at=row.updated_at), change])
    except ConflictError as error:
        raise StaleVersion("the channel was changed or deleted meanwhile; read it again") from error


def _check_unchanged(row: ChannelRow, read_at: datetime | None) -> None:
    if read_at not in {None, row.updated_at}:
        raise StaleVersion(f"the channel was changed meanwhile, at {row.updated_at.isoformat()}; read it again")


def _budgets_telling(store: Store, channel: str) -> list[str]:
    told = ((row.name, orjson.loads(row.document).get("notify", [])) for row in budget_rows.every(store))
    return [f"the budget {name!r}" for name, channels in told if channel in channels]


def _row(store: Store, channel_id: str) -> ChannelRow:
    row = _built_in() if channel_id == IN_APP_NAME else rows.by_id(store, channel_id)
    if row is None:
        raise NotFound(f"there is no channel {channel_id!r}")
    return row


def _built_in() -> ChannelRow:
    start = clock().replace(hour=0, minute=0, second=0, microsecond=0)
    return ChannelRow(IN_APP_NAME, IN_APP_NAME, "in_app", True, "{}", "", "", start, start)


def _filled(row: ChannelRow, kind: ChannelKind, fields: Mapping[str, Any], box: SecretBox) -> ChannelRow:
    """The row with a checked form: what is secret goes, encrypted, into `secret`."""
    config = channel_form.checked(kind, fields)
    if wrong := tuple(channel_form.wrong(config)):
        raise RuleError(wrong)
    whole = config.model_dump(mode="json", exclude_defaults=True)
    plain = {name: value for name, value in whole.items() if name not in kind.secrets}
    secret = {name: value for name, value in whole.items() if name in kind.secrets}
    return replace(row, config=orjson.dumps(plain).decode(), secret=box.seal(secret))


def _kept(old: ChannelRow, box: SecretBox) -> dict[str, Any]:
    try:
        secrets = box.open(old.secret)
    except SecretUnreadable:
        secrets = {}  # entering them anew is the way out
    return {**orjson.loads(old.config), **secrets}


def _channel(row: ChannelRow) -> Channel:
    kind = CHANNELS.get(row.kind)
    config = orjson.loads(row.config)
    config |= {name: veil.veiled(config[name]) for name in (kind.addresses if kind else ()) if config.get(name)}
    hidden = dict.fromkeys(sorted(kind.secrets), MASK) if kind and row.secret else {}
    return Channel(
        id=row.id,
        name=row.name,
        kind=row.kind,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
        updated_at=row.updated_at,
        shown={**config, **hidden},
    )
