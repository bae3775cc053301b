"""Which conversations are marked when a proxy has ended, with a real store and real folders."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.connection import Connection
from data.crosstalk import SessionRow, Status
from data.queries import crosstalk as rows
from proxy.crosstalk.orphans import PROXY_ENDED, end_orphans
from proxy.crosstalk.owner import owner_of
from proxy.spool_folder import lock_folder

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def connection(running, config):
    found = Connection.open(config)
    yield found
    found.close()


def spool(home: Path, name: str) -> tuple[Path, str]:
    folder = home / "spool" / name
    folder.mkdir(parents=True)
    return folder, owner_of(folder)


def begun(connection, identifier: str, owner: str, **more) -> None:
    usual = {"status": Status.RUNNING, "document": "{}", "created_at": NOW, "updated_at": NOW}
    row = SessionRow(id=identifier, owner=owner, **{**usual, **more})
    connection.transact([rows.adding(row)])


def test_only_what_nobody_runs_is_marked(connection, home):
    _, mine = spool(home, "proxy-1")
    held, running_sibling = spool(home, "proxy-2")
    _, dead_sibling = spool(home, "proxy-3")
    begun(connection, "mine-before", mine)
    begun(connection, "mine-now", mine)
    begun(connection, "siblings", running_sibling)
    begun(connection, "dead", dead_sibling)
    begun(connection, "elsewhere", "a proxy of another home")
    begun(connection, "over", mine, status=Status.FINISHED, reason="max_turns")
    lock = lock_folder(held)
    try:
        ended = end_orphans(connection, home / "spool", mine, lambda: {"mine-now"})
        assert set(ended) == {"mine-before", "dead"}
        assert end_orphans(connection, home / "spool", mine, lambda: {"mine-now"}) == []
    finally:
        os.close(lock)
    found = {row.id: (row.status, row.reason) for row in rows.page(connection, limit=10)}
    assert found == {
        **dict.fromkeys(("mine-before", "dead"), (Status.INTERRUPTED, PROXY_ENDED)),
        **dict.fromkeys(("mine-now", "siblings", "elsewhere"), (Status.RUNNING, "")),
        "over": (Status.FINISHED, "max_turns"),
    }


def test_a_folder_keeps_its_name(home):
    folder, name = spool(home, "proxy-1")
    assert owner_of(folder) == name


def test_whoever_ended_it_first_has_ended_it(connection):
    begun(connection, "s", "o")
    row = rows.one(connection, "s")
    connection.transact([rows.ending(["s"], Status.STOPPED, "stopped", NOW)])
    late = SessionRow(**{**{name: getattr(row, name) for name in row.__struct_fields__}, "turns": 3})
    connection.transact([rows.advancing(late)])
    found = rows.one(connection, "s")
    assert (found.status, found.reason, found.turns, found.ended_at) == (Status.STOPPED, "stopped", 3, NOW)
