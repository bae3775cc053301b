"""Figures on incidents and notifications by day, kept when the rows that they were counted from are gone.

Days are those of UTC, named by their beginning. All figures add up over days.
"""

from sqlalchemy import Boolean, Column, DateTime, Double, Integer, String, Table

from data.schema.ledger import METADATA

#: One row a day that was counted.
alert_days = Table(
    "alert_days",
    METADATA,
    Column("day", DateTime, primary_key=True),
    Column("counted_at", DateTime, nullable=False),
    #: some of the rows that it was counted from may be gone: it stays as it is
    Column("closed", Boolean, nullable=False),
    #: of what was counted, how much can still change: open incidents, and notifications that wait
    Column("unfinished", Integer, nullable=False),
    #: rules that there were, of which no incident opened
    Column("never_fired", Integer, nullable=False),
)

#: Incidents by the day they opened on.
alert_day_incidents = Table(
    "alert_day_incidents",
    METADATA,
    Column("day", DateTime, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("rule_name", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("incidents", Integer, nullable=False),
    Column("open", Integer, nullable=False),
    Column("flapping", Integer, nullable=False),
    Column("flaps", Integer, nullable=False),
    Column("acknowledged", Integer, nullable=False),
    #: until somebody first took them on, summed up
    Column("acknowledge_s", Double, nullable=False),
    Column("resolved", Integer, nullable=False),
    Column("resolve_s", Double, nullable=False),
)

#: Notifications by the day they were made on; tests of channels are left out.
alert_day_notices = Table(
    "alert_day_notices",
    METADATA,
    Column("day", DateTime, nullable=False),
    Column("channel", String, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", String, nullable=False),
    #: held back for this reason, and told later with others
    Column("late", Boolean, nullable=False),
    Column("n", Integer, nullable=False),
    Column("finished", Integer, nullable=False),
    #: from when they were made until they were done with, summed up over the finished ones
    Column("seconds", Double, nullable=False),
)
