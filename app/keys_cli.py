"""`claude-proxy keys`: virtual keys from the command line. A secret is printed once."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from app.command_options import ConfigFile, Home, configured
from data import key_changes
from data.errors import KeyFault
from data.keys import StoredKey, shown
from data.queries import keys as rows
from data.store import connect, ensure_running
from engine.durations import duration

keys_app = typer.Typer(no_args_is_help=True, help="Virtual keys.")
_BY = "cli"
Name = Annotated[str, typer.Argument(help="The key's name.")]


@keys_app.command("create")
def create(
    name: Name,
    *,
    owner: Annotated[str, typer.Option(help="Whose it is: the ledger's user.")] = "",
    team: str = "",
    project: str = "",
    tag: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model it may ask for (a glob); may be repeated.")] = None,
    endpoint: Annotated[list[str] | None, typer.Option(help="An endpoint it may call; may be repeated.")] = None,
    expires: Annotated[str, typer.Option(help="In which time it ends, such as 30d.")] = "",
    rpm: Annotated[int | None, typer.Option(help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Calls at the same time.")] = None,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Make a key and print its secret, which nobody can show again."""
    document = key_changes.parse(
        {
            "name": name,
            "owner": owner,
            "team": team,
            "project": project,
            "tags": dict(_pair(each) for each in tag or ()),
            "models": model or (),
            "endpoints": endpoint or (),
            "expires_at": _now() + _length("expires", expires) if expires else None,
            "requests_per_minute": rpm,
            "tokens_per_minute": tpm,
            "max_parallel": parallel,
        }
    )
    _, secret = key_changes.create(_store(home, config_file), document, by=_BY, now=_now())
    typer.echo(secret)
    typer.echo(f"The key {name} is made. This is the only time its secret is shown.", err=True)


@keys_app.command("set")
def change(
    name: Name,
    *,
    owner: Annotated[str | None, typer.Option(help="Whose it is: the ledger's user; '' for nobody.")] = None,
    team: Annotated[str | None, typer.Option(help="'' for none.")] = None,
    project: Annotated[str | None, typer.Option(help="'' for none.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="name=value; all of its tags, or '' for none.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="All it may ask for (globs), or '' for any.")] = None,
    endpoint: Annotated[list[str] | None, typer.Option(help="All it may call, or '' for any.")] = None,
    expires: Annotated[str | None, typer.Option(help="In which time from now it ends, or never.")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests a minute; 0 for no limit.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute; 0 for no limit.")] = None,
    parallel: Annotated[int | None, typer.Option(help="Calls at the same time; 0 for no limit.")] = None,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Change what a key says. What is not named stays as it is, and so do its secret and its routes."""
    said: dict[str, Any] = {
        "owner": owner,
        "team": team,
        "project": project,
        "tags": None if tag is None else dict(_pair(each) for each in tag if each),
        "models": None if model is None else [each for each in model if each],
        "endpoints": None if endpoint is None else [each for each in endpoint if each],
    }
    changes = {field: value for field, value in said.items() if value is not None}
    limits = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "max_parallel": parallel}
    changes |= {field: limit or None for field, limit in limits.items() if limit is not None}
    if expires is not None:
        changes["expires_at"] = None if expires == "never" else _now() + _length("expires", expires)
    key_changes.amend(_store(home, config_file), name, changes, by=_BY, now=_now())
    typer.echo(f"{name} is changed; every proxy knows within a second")


@keys_app.command("list")
def listing(*, home: Home = None, config_file: ConfigFile = None) -> None:
    """Every key: its state, the start of its secret, its limits and its name."""
    now = _now()
    for key in rows.every(_store(home, config_file)):
        told = shown(key, now)
        secret = told["secrets"][0]["shown"] if told["secrets"] else ""
        typer.echo(f"{told['status']:<9} {secret:<14} {_limits(key):<28} {key.name}")


@keys_app.command("show")
def show(name: Name, *, home: Home = None, config_file: ConfigFile = None) -> None:
    """All of one key but its secret."""
    for field, value in shown(key_changes.get(_store(home, config_file), name), _now()).items():
        if value not in ("", None, [], {}, ()):
            typer.echo(f"{field:<20} {value}")


@keys_app.command("rotate")
def rotate(
    name: Name,
    *,
    overlap: Annotated[str, typer.Option(help="How long the old secret goes on; 0s ends it at once.")] = "24h",
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Give a key a new secret and print it."""
    store = _store(home, config_file)
    _, secret = key_changes.rotate(store, name, by=_BY, now=_now(), overlap=_length("overlap", overlap))
    typer.echo(secret)


@keys_app.command("disable")
def disable(name: Name, *, home: Home = None, config_file: ConfigFile = None) -> None:
    """Refuse a key until it is enabled."""
    key_changes.switch(_store(home, config_file), name, enabled=False, by=_BY, now=_now())
    typer.echo(f"{name} is disabled; every proxy knows within a second")


@keys_app.command("enable")
def enable(name: Name, *, home: Home = None, config_file: ConfigFile = None) -> None:
    """Let a key be used again."""
    key_changes.switch(_store(home, config_file), name, enabled=True, by=_BY, now=_now())
    typer.echo(f"{name} is enabled")


@keys_app.command("revoke")
def revoke(name: Name, *, home: Home = None, config_file: ConfigFile = None) -> None:
    """End a key for good."""
    key_changes.revoke(_store(home, config_file), name, by=_BY, now=_now())
    typer.echo(f"{name} is revoked; every proxy knows within a second")


def _store(home: Any, config_file: Any) -> Any:
    config = configured(home, config_file)
    ensure_running(config)
    return connect(config)


def _limits(key: StoredKey) -> str:
    document = key.document
    limits = (document.requests_per_minute, "rpm"), (document.tokens_per_minute, "tpm"), (document.max_parallel, "par.")
    return ", ".join(f"{limit:,} {unit}" for limit, unit in limits if limit is not None) or "no limits"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise KeyFault(f"tag: write name=value, not {text!r}")
    return name, value


def _length(name: str, text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise KeyFault(f"{name} {error}") from error


def _now() -> datetime:
    return datetime.now(UTC)
