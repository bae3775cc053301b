"""`claude-proxy reprice`: the ledger's past at today's prices."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from app.command_options import ConfigFile, DryRun, Home, Since, configured, utc
from app.views.format import money
from data.pricing import PriceBook
from data.reprice import Repriced, Wanted
from data.reprice import reprice as reprice_rows
from data.store import connect, ensure_running


def reprice(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Rows that have a price too.")] = False,
    model: Annotated[str, typer.Option(metavar="GLOB", help="Only models that match.")] = "*",
    since: Since = None,
    dry_run: DryRun = False,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Work costs out again, from the stored counts and today's prices: of rows without one, or of all."""
    config = configured(home, config_file)
    ensure_running(config)
    result = reprice_rows(
        connect(config),
        PriceBook(config.prices),
        Wanted(everything=everything, since=utc(since), model=model),
        protocols={name: provider.protocol for name, provider in config.providers.items()},
        now=datetime.now(UTC),
        actor="claude-proxy reprice",
        dry_run=dry_run,
    )
    for line in told(result, dry_run=dry_run):
        typer.echo(line)


def told(result: Repriced, *, dry_run: bool = False) -> Iterator[str]:
    """The summary, line by line."""
    for model, sums in sorted(result.models.items()):
        name = model or "(no model)"
        if sums.rows:
            yield f"{name:<40} {sums.rows:>12,} {money(sums.old_usd):>14} -> {money(sums.new_usd)}"
        if sums.unknown:
            yield f"{name:<40} {sums.unknown:>12,} no price is known"
    changed = sum(sums.rows for sums in result.models.values())
    yield f"Rows {'that would be ' if dry_run else ''}repriced: {changed:,} of {result.examined:,}"
