import subprocess
import sys

import duckdb
import duckdb_engine
import pytest
from sqlalchemy import String, Table, cast, column, delete, func, insert, or_, select, table, update
from sqlalchemy.schema import CreateTable

from data import schema
from data.dialect import DIALECT

#: What is said of DuckDB by the dialect of its own people.
ORACLE = duckdb_engine.Dialect(paramstyle="qmark")
TABLES = [one for one in vars(schema).values() if isinstance(one, Table)]


def statements(of):
    """Of one table, what is asked and changed everywhere."""
    (first, *_), (*_, last) = of.columns, of.columns
    yield CreateTable(of, if_not_exists=True)
    yield insert(of).values({c.name: None for c in of.columns})
    yield update(of).where(first == "a").values({last.name: None})
    yield delete(of).where(first.in_(["a", "b"]), or_(last.is_(None), first > "c"))
    counted = select(first, func.count().label("n"), (func.avg(1) / 2 // 3).label("by")).group_by(first)
    some = cast(first, String).contains("50%", autoescape=True)
    yield counted.where(some).order_by(first.desc()).limit(5)


@pytest.mark.parametrize("of", TABLES, ids=lambda one: one.name)
def test_it_writes_what_duckdb_engine_writes(of, monkeypatch):
    monkeypatch.setattr(ORACLE.identifier_preparer, "reserved_words", DIALECT.identifier_preparer.reserved_words)
    for statement in statements(of):
        options = {"compile_kwargs": {"render_postcompile": True}}
        ours, theirs = (statement.compile(dialect=dialect, **options) for dialect in (DIALECT, ORACLE))
        assert (str(ours), getattr(ours, "positiontup", None)) == (str(theirs), getattr(theirs, "positiontup", None))


def test_every_reserved_word_of_duckdb_can_be_a_column():
    with duckdb.connect() as connection:
        words = [word for (word,) in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()]
        for word in words:
            text = str(select(column(word)).select_from(table("t", column(word))).compile(dialect=DIALECT))
            connection.execute(f'CREATE OR REPLACE TABLE t ("{word}" INTEGER)')
            connection.execute(text)


def test_who_asks_the_store_does_not_load_duckdb():
    ask = "import sys, data.query, data.store, engine.worker; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0
