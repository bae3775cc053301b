"""A conversation gets into the store once, however often its writing fails."""

import asyncio
from datetime import UTC, datetime

from data.connection import Connection
from data.crosstalk import MessageRow, SessionRow, Status
from data.errors import StoreUnavailable
from data.queries import crosstalk as rows
from proxy.crosstalk import saving
from proxy.crosstalk.document import CrosstalkDocument
from proxy.crosstalk.session import Session
from proxy.crosstalk.tabs import Tab

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DOCUMENT = CrosstalkDocument.model_validate(
    {"topic": "T", "participants": [{"name": name, "model": "m"} for name in ("Ann", "Bob")]}
)


class Forgetful:
    """A store that does what it is asked, and says two times in three that it does not answer."""

    def __init__(self, connection: Connection) -> None:
        self.rows = connection.rows
        self._connection = connection
        self.asked = 0

    def transact(self, changes, *, deadline_s: float = 60.0):
        self.asked += 1
        done = self._connection.transact(changes, deadline_s=deadline_s)
        if self.asked % 3:
            raise StoreUnavailable("the connection broke")
        return done


def message(turn: int) -> MessageRow:
    return MessageRow(
        session="s",
        turn=turn,
        participant="Ann",
        model_requested="m",
        model="m",
        text=f"turn {turn}\x00",
        stop_reason="end_turn",
        request_id="r",
        input_tokens=3,
        output_tokens=2,
        cost_usd=None,
        duration_ms=1.5,
        created_at=NOW,
    )


async def test_a_write_that_may_have_happened_is_made_again_and_counts_once(running, config, monkeypatch):
    monkeypatch.setattr(saving, "RETRY_S", 0.01)
    store = Forgetful(Connection.open(config))
    row = SessionRow(id="s", owner="o", status=Status.RUNNING, document="{}", created_at=NOW, updated_at=NOW)
    store._connection.transact([rows.adding(row), rows.adding(row)])
    session = Session(row, DOCUMENT, Tab())
    task = asyncio.get_running_loop().create_task(saving.save(session, lambda: store, asyncio.Semaphore(1)))
    for turn in (1, 2, 3):
        session.say(message(turn))
        while session.unstored:
            await asyncio.wait_for(session.change(), 60)
    session.say(message(4))
    session.end(Status.FINISHED, "max_turns", NOW)
    await asyncio.wait_for(task, 60)
    found = rows.one(store, "s")
    assert found == session.row
    assert (found.status, found.turns, found.input_tokens, found.output_tokens) == (Status.FINISHED, 4, 12, 8)
    assert rows.messages(store, "s") == session.messages
    assert store.asked > 4
    store._connection.close()


async def test_a_message_of_a_conversation_that_is_forgotten_is_not_kept(running, config):
    store = Connection.open(config)
    store.transact([rows.saying(message(1))])
    assert rows.messages(store, "s") == []
    store.close()
