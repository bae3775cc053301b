"""Channels as they are kept: a name that rules refer to, a form filled in, and its secrets, encrypted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from data.errors import ConflictError
from data.queries import budgets as budget_rows
from data.queries import channels as rows
from data.queries import rules as rule_rows
from data.queries.channels import ChannelRow
from data.store import Store
from engine.audit import clock, entry, new_id
from engine.channels import CHANNELS, ChannelConfig, ChannelKind, veil
from engine.channels.values import try_words
from engine.errors import Fault, NotFound, Refused, RuleError, SecretUnreadable, StaleVersion, TemplateFault
from engine.faults import told
from engine.secrets import MASK, SecretBox

#: The channel that is always there.
IN_APP_NAME = "in-app"


#: What a channel's answer says that nobody sets: it may be sent back with the rest.
_AsShown = Annotated[Any, Field(description="As it was shown; changes nothing")]


class ChannelDocument(BaseModel):
    """A channel as people post it, or as it was shown, with changes; `config` is checked by its kind.

    A change that names the `updated_at` it was made from is refused when that has passed.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w][\w .\-]*$")
    kind: str
    enabled: bool = True
    config: dict[str, Any] = Field(default_factory=dict)
    updated_at: AwareDatetime | None = None
    id: _AsShown = None
    auto_disabled: _AsShown = None
    disabled_reason: _AsShown = None
    created_at: _AsShown = None
    breaker: _AsShown = None
    new_secret: _AsShown = None


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


def kind_of(name: str) -> ChannelKind:
    """The kind of this name; raises RuleError listing those that exist."""
    if name not in CHANNELS:
        raise RuleError([Fault("kind", f"must be one of {', '.join(sorted(CHANNELS))}, not {name!r}")])
    return CHANNELS[name]


def config_of(row: ChannelRow, box: SecretBox) -> tuple[ChannelConfig, dict[str, Any]]:
    """The complete form and, apart, its secret fields and parts of fields; raises RuleError or SecretUnreadable."""
    secrets, kind = box.open(row.secret), kind_of(row.kind)
    config = _checked(kind, {**orjson.loads(row.config), **secrets})
    return config, {**secrets, **_in_addresses(config, kind)}


def draft(kind_name: str, fields: Mapping[str, Any]) -> tuple[ChannelConfig, dict[str, Any]]:
    """The form of a channel that is not stored, and its secret fields and parts of fields; raises RuleError."""
    kind = kind_of(kind_name)
    whole = kind.complete(dict(fields))
    config, secrets = _checked(kind, whole), {name: value for name, value in whole.items() if name in kind.secrets}
    return config, {**secrets, **_in_addresses(config, kind)}


def create(
    store: Store, box: SecretBox, document: Mapping[str, Any], *, by: str, at: datetime | None = None
) -> Channel:
    """Add a channel; raises RuleError for a faulty form, StaleVersion when the name is taken."""
    asked = _document(document)
    kind = kind_of(asked.kind)
    fields = kind.complete(_unveiled(_without_masks(asked.config, kind), {}, kind))
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
    asked = _document({"name": old.name, "kind": old.kind, "enabled": old.enabled, **document})
    if channel_id == IN_APP_NAME or asked.kind != old.kind or asked.name != old.name:
        raise Refused("the name and kind of a channel cannot change: rules refer to it; make another channel instead")
    _check_unchanged(old, asked.updated_at or read_at)
    kind, now = kind_of(old.kind), clock() if at is None else at
    kept = _kept(old, box)
    given = _unveiled(_without_masks(asked.config, kind), kept, kind)
    fields = {**kept, **_rotated(kind, kept, given), **given}
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


def _document(document: Mapping[str, Any]) -> ChannelDocument:
    try:
        return ChannelDocument.model_validate(dict(document))
    except ValidationError as error:
        raise _faults(error) from error


def _checked(kind: ChannelKind, fields: Mapping[str, Any]) -> ChannelConfig:
    try:
        config = kind.config.model_validate(dict(fields))
    except ValidationError as error:
        raise _faults(error, "config") from error
    if not config.partial_ends and kind.needs_each_end(fields):
        fault = "must stay true here: the receiver keeps one thing an incident, which only its own end closes"
        raise RuleError([Fault("config.partial_ends", fault)])
    return config


def _faults(error: ValidationError, prefix: str = "") -> RuleError:
    """What pydantic found; its messages are used without the input, which may be a secret."""
    found = error.errors(include_url=False, include_input=False)
    places = [".".join(str(part) for part in ((prefix,) if prefix else ()) + fault["loc"]) for fault in found]
    return RuleError(Fault(place, told(fault)) for place, fault in zip(places, found, strict=True))


def _filled(row: ChannelRow, kind: ChannelKind, fields: Mapping[str, Any], box: SecretBox) -> ChannelRow:
    """The row with a checked form: what is secret goes, encrypted, into `secret`."""
    config = _checked(kind, fields)
    if wrong := tuple(_wrong(config)):
        raise RuleError(wrong)
    whole = config.model_dump(mode="json", exclude_defaults=True)
    plain = {name: value for name, value in whole.items() if name not in kind.secrets}
    secret = {name: value for name, value in whole.items() if name in kind.secrets}
    return replace(row, config=orjson.dumps(plain).decode(), secret=box.seal(secret))


def _unveiled(given: dict[str, Any], kept: Mapping[str, Any], kind: ChannelKind) -> dict[str, Any]:
    """What was given, with the parts of addresses that were shown masked as they are kept; raises RuleError."""
    addresses = {name: given[name] for name in kind.addresses if isinstance(given.get(name), str)}
    whole = {name: veil.unveiled(url, str(kept.get(name, ""))) for name, url in addresses.items()}
    if masked := [name for name, url in whole.items() if veil.masks(url)]:
        raise RuleError(Fault(f"config.{name}", "holds a masked value for a new address: enter it") for name in masked)
    return {**given, **whole}


def _in_addresses(config: ChannelConfig, kind: ChannelKind) -> dict[str, Any]:
    """What is secret in the addresses of a form, for nobody to be shown."""
    found = {name: veil.hidden(str(getattr(config, name))) for name in kind.addresses}
    return {f"{name}[{n}]": value for name, values in found.items() for n, value in enumerate(values)}


def _wrong(config: ChannelConfig) -> Iterator[Fault]:
    """What is wrong with a form that is saved; one that is stored goes on working."""
    yield from (Fault(f"config.{field}", why) for field, why in config.idle())
    for field, text, fill in config.templates():
        try:
            try_words(text, fill)
        except TemplateFault as fault:
            yield Fault(f"config.{field}", str(fault))


def _kept(old: ChannelRow, box: SecretBox) -> dict[str, Any]:
    try:
        secrets = box.open(old.secret)
    except SecretUnreadable:
        secrets = {}  # entering them anew is the way out
    return {**orjson.loads(old.config), **secrets}


def _rotated(kind: ChannelKind, kept: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The secrets that others take the place of, under the names that they are kept by."""
    changed = ((now, before) for now, before in kind.rotates.items() if given.get(now, kept.get(now)) != kept.get(now))
    return {before: kept[now] for now, before in changed if kept.get(now)}


def _without_masks(config: Mapping[str, Any], kind: ChannelKind) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in kind.secrets or not _masked(value)}


def _masked(value: Any) -> bool:
    return value == MASK or (isinstance(value, dict) and bool(value) and all(v == MASK for v in value.values()))


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
