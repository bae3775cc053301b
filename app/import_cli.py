"""`claude-proxy import`: usage that other programs have written down, brought into the ledger."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.command_options import ConfigFile, DryRun, Home, Since, configured, utc
from app.views.format import money
from data.imports.importing import SETTLED, Wanted, import_logs
from data.imports.log_files import log_files
from data.imports.outcome import Imported
from data.imports.rows import Labels, Rows
from data.pricing import PriceBook
from data.store import connect, ensure_running

import_app = typer.Typer(no_args_is_help=True, help="Usage that other programs have written down.")


@import_app.callback()
def _group() -> None:
    """Usage that other programs have written down."""


@import_app.command("claude-code")
def import_claude_code(
    place: Annotated[
        Path, typer.Argument(metavar="DIR", help="~/.claude, its projects, one project's folder, or one file.")
    ],
    *,
    since: Since = None,
    dry_run: DryRun = False,
    user: Annotated[str, typer.Option(help="Whose sessions these are: the rows' user.")] = "",
    team: Annotated[str, typer.Option(help="The rows' team.")] = "",
    provider: Annotated[str, typer.Option(help="Who answered.", show_default="anthropic, or as the ids tell")] = "",
    full_paths: Annotated[
        bool, typer.Option("--full-paths", help="Call projects by their whole path, not by the folder's name.")
    ] = False,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Import Claude Code's session logs; importing them again adds only what is new."""
    config = configured(home, config_file)
    files = log_files(place)
    ensure_running(config)
    rows = Rows(PriceBook(config.prices), Labels(user=user, team=team, provider=provider, full_paths=full_paths))
    size, hidden = sum(file.size for file in files), not sys.stderr.isatty()
    with typer.progressbar(length=size, label="Reading", file=sys.stderr, hidden=hidden) as bar:
        done = import_logs(
            connect(config),
            files,
            rows,
            Wanted(since=utc(since), dry_run=dry_run),
            now=datetime.now(UTC),
            progress=bar.update,
        )
    for line in told(done, dry_run=dry_run):
        typer.echo(line)
    for line in faults(done):
        typer.echo(line, err=True)


def told(done: Imported, *, dry_run: bool = False) -> Iterator[str]:
    """The summary, line by line."""
    would = "that would be " if dry_run else ""
    for what, number in (
        ("Files", done.files),
        ("Lines", done.lines),
        ("Lines that cannot be read", done.broken_lines),
        ("Messages of Claude Code itself", done.synthetic),
        ("Calls", done.calls),
        ("Lines that repeat a call", done.repeated),
        ("Calls before the time asked for", done.early),
        (f"Calls of the last {SETTLED.seconds // 60} minutes: they wait", done.waiting),
        ("Calls that the proxy has in the ledger", done.live),
        ("Rows of earlier imports", done.known),
        (f"Rows {would}corrected: the logs tell more", done.corrected),
        (f"Rows {would}added", done.added),
    ):
        if number or what.endswith("added"):
            yield f"{what:<42} {number:>12,}"
    for model, sums in sorted(done.models.items(), key=lambda item: (-item[1].cost_usd, item[0])):
        unpriced = f"  without a price: {sums.unpriced:,}" if sums.unpriced else ""
        yield f"  {model or '(no model)':<40} {sums.rows:>12,} {money(sums.cost_usd):>14}{unpriced}"
    yield f"{'Cost added':<42} {'':>12} {money(done.cost_usd):>14}"
    if done.endless:
        yield f"Estimates, as the logs hold no end of the answer (its output may be more): {done.endless:,}"
    if models := sorted(name or "(no model)" for name, sums in done.models.items() if sums.unpriced):
        yield f"No price is known for {', '.join(models)}; set one under [[prices]], then run claude-proxy reprice"


def faults(done: Imported) -> Iterator[str]:
    """What could not be read, line by line."""
    for path, reason in done.unreadable:
        yield f"{_shown(path)}: cannot be read ({reason})"
    if rest := done.unreadable_files - len(done.unreadable):
        yield f"… and {rest:,} more files"
    for path, line in done.broken:
        yield f"{_shown(path)}:{line}: not a line of a session log; it was left out"
    if rest := done.broken_lines - len(done.broken):
        yield f"… and {rest:,} more lines"


def _shown(path: Path) -> str:
    """A path as it can be printed, whatever its bytes."""
    return os.fsencode(path).decode(errors="replace")
