import threading
import time

import duckdb
import pytest

from data.database import Database
from data.errors import DeadlineExceeded, QueryRejected, StoreError, StoreUnavailable
from tests.conftest import eventually

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b"


@pytest.fixture
def database(config):
    database = Database(config.database, config.store)
    yield database
    database.close()


def test_at_the_end_the_running_write_is_finished_and_the_waiting_one_refused(database):
    refused = []

    def wait_for_a_turn():
        try:
            with database.writing() as cursor:
                cursor.execute("CREATE TABLE late (a INTEGER)")
        except StoreUnavailable as error:
            refused.append(str(error))

    waiting, ending = threading.Thread(target=wait_for_a_turn), threading.Thread(target=database.end)
    with database.writing() as cursor:
        waiting.start()
        ending.start()
        eventually(lambda: database._closed)
        cursor.execute("CREATE TABLE early (a INTEGER)")
    waiting.join()
    ending.join()
    assert refused == ["the store shuts down"]
    with database.cursor() as cursor:
        assert cursor.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("early",)]


def test_a_call_that_begins_after_the_end_is_interrupted_too(database):
    database.end()
    with database.cursor() as cursor, database.watch.watching(cursor, 60, lambda: False):
        began = time.monotonic()
        with pytest.raises(duckdb.InterruptException):
            cursor.execute(ENDLESS).fetchall()
        assert time.monotonic() - began < 50


@pytest.mark.parametrize("deadline_s", [-1.0, 0.0, float("nan")])
def test_a_deadline_that_is_none_does_not_wait_for_ever(database, deadline_s):
    with database.writing(), pytest.raises(DeadlineExceeded, match="other writes"), database.writing(deadline_s):
        pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (duckdb.OutOfMemoryException("Out of Memory Error"), StoreError),
        (duckdb.IOException("no space left"), StoreError),
        (duckdb.ConnectionException("already closed"), StoreError),
        (OSError("no space left"), StoreError),
        (duckdb.ParserException("syntax error"), QueryRejected),
        (duckdb.ConversionException("not a number"), QueryRejected),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_is_the_stores_or_the_statements(database, error, kind):
    assert type(database.translated(error)) is kind
