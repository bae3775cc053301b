"""Options that several commands have, and the configuration they name."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from data.config import Config
from data.settings import load

Home = Annotated[
    Path | None, typer.Option(help="Where the database, the spool and the logs live.", show_default="user data folder")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="The TOML file.", show_default="CLAUDE_PROXY_CONFIG, if set")
]
Since = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
        help="Only what ended then or later (UTC).",
        show_default="everything",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")]


def configured(home: Path | None, config_file: Path | None) -> Config:
    """The configuration; raises `ConfigError` with all its faults."""
    return load(config_file=config_file, overrides={} if home is None else {"home": str(home)})


def utc(at: datetime | None) -> datetime:
    """A time as it was typed, in UTC; the beginning of time where none was."""
    return datetime(1970, 1, 1, tzinfo=UTC) if at is None else at.replace(tzinfo=UTC)
