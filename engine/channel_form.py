"""A channel's form as people fill it in: read, checked by its kind, with what was shown masked as it is kept. Pure."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from engine.channels import CHANNELS, ChannelConfig, ChannelKind, veil
from engine.channels.values import try_words
from engine.errors import Fault, RuleError, TemplateFault
from engine.faults import told
from engine.secrets import MASK

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


def posted(document: Mapping[str, Any]) -> ChannelDocument:
    """What people posted; raises RuleError."""
    try:
        return ChannelDocument.model_validate(dict(document))
    except ValidationError as error:
        raise _faults(error) from error


def kind_of(name: str) -> ChannelKind:
    """The kind of this name; raises RuleError listing those that exist."""
    if name not in CHANNELS:
        raise RuleError([Fault("kind", f"must be one of {', '.join(sorted(CHANNELS))}, not {name!r}")])
    return CHANNELS[name]


def draft(kind_name: str, fields: Mapping[str, Any]) -> tuple[ChannelConfig, dict[str, Any]]:
    """The form of a channel that is not stored, and its secret fields and parts of fields; raises RuleError."""
    kind = kind_of(kind_name)
    whole = kind.complete(dict(fields))
    config, secrets = checked(kind, whole), {name: value for name, value in whole.items() if name in kind.secrets}
    return config, {**secrets, **in_addresses(config, kind)}


def checked(kind: ChannelKind, fields: Mapping[str, Any]) -> ChannelConfig:
    """The whole form; raises RuleError."""
    try:
        config = kind.config.model_validate(dict(fields))
    except ValidationError as error:
        raise _faults(error, "config") from error
    if not config.partial_ends and kind.needs_each_end(fields):
        fault = "must stay true here: the receiver keeps one thing an incident, which only its own end closes"
        raise RuleError([Fault("config.partial_ends", fault)])
    return config


def unveiled(given: dict[str, Any], kept: Mapping[str, Any], kind: ChannelKind) -> dict[str, Any]:
    """What was given, with the parts of addresses that were shown masked as they are kept; raises RuleError."""
    addresses = {name: given[name] for name in kind.addresses if isinstance(given.get(name), str)}
    whole = {name: veil.unveiled(url, str(kept.get(name, ""))) for name, url in addresses.items()}
    if masked := [name for name, url in whole.items() if veil.masks(url)]:
        raise RuleError(Fault(f"config.{name}", "holds a masked value for a new address: enter it") for name in masked)
    return {**given, **whole}


def in_addresses(config: ChannelConfig, kind: ChannelKind) -> dict[str, Any]:
    """What is secret in the addresses of a form, for nobody to be shown."""
    found = {name: veil.hidden(str(getattr(config, name))) for name in kind.addresses}
    return {f"{name}[{n}]": value for name, values in found.items() for n, value in enumerate(values)}


def wrong(config: ChannelConfig) -> Iterator[Fault]:
    """What is wrong with a form that is saved; one that is stored goes on working."""
    yield from (Fault(f"config.{field}", why) for field, why in config.idle())
    for field, text, fill in config.templates():
        try:
            try_words(text, fill)
        except TemplateFault as fault:
            yield Fault(f"config.{field}", str(fault))


def rotated(kind: ChannelKind, kept: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The secrets that others take the place of, under the names that they are kept by."""
    changed = ((now, before) for now, before in kind.rotates.items() if given.get(now, kept.get(now)) != kept.get(now))
    return {before: kept[now] for now, before in changed if kept.get(now)}


def without_masks(config: Mapping[str, Any], kind: ChannelKind) -> dict[str, Any]:
    """Without the secrets that were sent back as they were shown."""
    return {name: value for name, value in config.items() if name not in kind.secrets or not _masked(value)}


def _masked(value: Any) -> bool:
    return value == MASK or (isinstance(value, dict) and bool(value) and all(v == MASK for v in value.values()))


def _faults(error: ValidationError, prefix: str = "") -> RuleError:
    """What pydantic found; its messages are used without the input, which may be a secret."""
    found = error.errors(include_url=False, include_input=False)
    places = [".".join(str(part) for part in ((prefix,) if prefix else ()) + fault["loc"]) for fault in found]
    return RuleError(Fault(place, told(fault)) for place, fault in zip(places, found, strict=True))
