"""Log lines: nothing that a caller sent, never long, never many."""

import logging
from types import TracebackType

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from data.log_safety import BURST, LIMIT, WINDOW_S, NothingQuoted, ShortLines, shortened


def raised(error: Exception) -> TracebackType | None:
    with pytest.raises(type(error)):
        raise error
    return error.__traceback__


def record(name: str, error: Exception | None = None, at: float = 0.0, said: str = "failed") -> logging.LogRecord:
    exc_info = (type(error), error, raised(error)) if error else None
    return logging.makeLogRecord({"name": name, "msg": said, "exc_info": exc_info, "created": at})


def written(one: logging.LogRecord) -> str:
    return ShortLines().format(one) if NothingQuoted().filter(one) else ""


@pytest.mark.parametrize("name", ["aiohttp.server", "aiohttp.web", "asyncio"])
def test_an_http_library_s_exception_is_a_class_and_places(name):
    text = written(record(name, ValueError("sk-SECRET"), said="failed\nfuture: <exception=sk-SECRET>"))
    assert text.startswith("failed: ValueError at data/test_log_safety.py:")
    assert "SECRET" not in text


def test_our_own_exceptions_keep_their_words_unless_they_stand_on_a_library_s():
    assert "too few" in written(record("proxy.forward", ValueError("too few")))
    ours = ValueError("cannot read")
    ours.__cause__ = BadHttpMessage("sk-SECRET")
    assert "SECRET" not in written(record("proxy.forward", ours))


def test_beyond_a_burst_lines_are_counted_and_not_written():
    quiet = NothingQuoted()
    taken = [quiet.filter(record("aiohttp.server", at=float(second))) for second in range(BURST + 5)]
    assert taken == [True] * BURST + [False] * 5
    later = record("aiohttp.server", at=WINDOW_S)
    assert quiet.filter(later)
    assert later.getMessage() == "failed (5 like it were left out)"
    assert quiet.filter(record("proxy.forward", at=WINDOW_S))


def test_a_percent_sign_in_what_is_said_is_no_placeholder():
    assert written(record("aiohttp.server", ValueError("x"), said="100% %s %d")).startswith("100% %s %d: ValueError")


def test_long_text_keeps_its_two_ends():
    text = shortened("a" * LIMIT + "b" * LIMIT)
    assert (len(text), text[0], text[-1]) == (LIMIT, "a", "b")
    assert len(written(record("x", said="c" * 9000))) == LIMIT
