"""Rules, incidents and what is told of them. Times are naive UTC."""

from sqlalchemy import Boolean, Column, DateTime, Double, Integer, String, Table, false

from data.schema.ledger import METADATA

rules = Table(
    "rules",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    #: the file that provides the rule, '' for one made by hand
    Column("provisioned_from", String, default=""),
)

rule_versions = Table(
    "rule_versions",
    METADATA,
    Column("rule_id", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", String, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    Column("changed_by", String, nullable=False),
)

channels = Table(
    "channels",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("config", String, nullable=False),
    Column("secret", String, nullable=False),
    Column("disabled_reason", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
)

#: rule by group: where its state machine stands.
alert_instances = Table(
    "alert_instances",
    METADATA,
    Column("rule_id", String, nullable=False),
    Column("group_key", String, nullable=False),
    Column("labels", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("since", DateTime, nullable=False),
    Column("active_since", DateTime),
    Column("recovering_since", DateTime),
    Column("missing_evaluations", Integer, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("alert_id", String, nullable=False),
    Column("evaluated_at", DateTime, nullable=False),
    #: the conditions kept true by their recovery threshold: a JSON list of their positions
    Column("held", String, nullable=False, default="[]"),
)

#: Incidents: one row a firing episode.
alerts = Table(
    "alerts",
    METADATA,
    Column("id", String, primary_key=True),
    Column("rule_id", String, nullable=False),
    Column("rule_name", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("group_key", String, nullable=False),
    Column("labels", String, nullable=False),
    Column("status", String, nullable=False),
    Column("summary", String, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("opened_at", DateTime, nullable=False),
    Column("acknowledged_at", DateTime),
    Column("acknowledged_by", String, nullable=False),
    Column("resolved_at", DateTime),
    Column("resolved_by", String, nullable=False),
    Column("comment", String, nullable=False),
    #: a snooze's end; NULL: acknowledged until resolved
    Column("acknowledged_until", DateTime),
    #: how often its group had begun to fire of late when it opened, itself too; and whether that was flapping
    Column("openings", Integer, nullable=False, server_default="1"),
    Column("flapping", Boolean, nullable=False, server_default=false()),
    Column("assignee", String, nullable=False, server_default=""),
    #: counts what people did, so that one who acts on what has changed meanwhile can be told
    Column("version", Integer, nullable=False, server_default="1"),
    #: when somebody took it on for the first time, whatever came of that; `acknowledged_at` is of the last time
    Column("first_acknowledged_at", DateTime),
)

#: What people write about incidents; append-only.
alert_comments = Table(
    "alert_comments",
    METADATA,
    Column("id", String, nullable=False),
    Column("alert_id", String, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("author", String, nullable=False),
    #: what it was written with: `acknowledge`, `resolve`, …; `comment` for one that stands alone
    Column("action", String, nullable=False),
    Column("text", String, nullable=False),
)

#: How a rule's evaluations go, apart from what they say: one row a rule, its last evaluation.
rule_health = Table(
    "rule_health",
    METADATA,
    Column("rule_id", String, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("health", String, nullable=False),
    Column("message", String, nullable=False),
    Column("evaluated_at", DateTime, nullable=False),
    Column("duration_ms", Double, nullable=False),
)

#: Stretches of time in which matching incidents notify nobody.
silences = Table(
    "silences",
    METADATA,
    Column("id", String, primary_key=True),
    Column("matchers", String, nullable=False),
    Column("starts_at", DateTime, nullable=False),
    Column("ends_at", DateTime, nullable=False),
    Column("author", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    #: counts its changes
    Column("version", Integer, nullable=False, server_default="1"),
)

#: Every transition, with what caused it; append-only.
alert_events = Table(
    "alert_events",
    METADATA,
    Column("id", String, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("group_key", String, nullable=False),
    Column("alert_id", String, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("value", Double),
    Column("threshold", Double),
)

#: The outbox: one row an incident, channel and reason, written with the transition that caused it.
notifications = Table(
    "notifications",
    METADATA,
    Column("id", String, primary_key=True),
    Column("alert_id", String, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("status", String, nullable=False),
    Column("notice", String, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("due_at", DateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String, nullable=False),
    Column("claimed_until", DateTime),
    Column("finished_at", DateTime),
    Column("group_key", String, nullable=False, default=""),
    #: channels to try, in order, when this one fails for good: a JSON list of names
    Column("fallback", String, nullable=False, default="[]"),
    #: the failed notification this one stands in for; '' for an original
    Column("fallback_of", String, nullable=False, default=""),
    #: the notification that carries this one's news to the channel, with others'; '' for one that goes by itself
    Column("bundle", String, nullable=False, server_default=""),
    #: of a silent one that is told later: the reason it was held back from giving
    Column("held", String, nullable=False, server_default=""),
)

#: How many notices each channel still takes at once, and all together (channel ''): one row a token bucket.
rate_buckets = Table(
    "rate_buckets",
    METADATA,
    Column("channel", String, primary_key=True),
    Column("level", Double, nullable=False),
    Column("at", DateTime, nullable=False),
    #: what the last ones were taken under, and how many they were
    Column("per_minute", Double, nullable=False),
    Column("burst", Integer, nullable=False),
    Column("spent", Integer, nullable=False),
)

#: What the in-app channel shows: one row a message, read when `read_at` is set.
inbox = Table(
    "inbox",
    METADATA,
    Column("id", String, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("title", String, nullable=False),
    Column("body", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("status", String, nullable=False),
    Column("alert_id", String, nullable=False),
    Column("rule_id", String, nullable=False),
    Column("read_at", DateTime),
    #: by the store's clock, when it was written: writes take turns, so that each is later than the one before
    Column("posted_at", DateTime),
)

#: One row a send, recorded before it is tried; append-only but for its result.
delivery_attempts = Table(
    "delivery_attempts",
    METADATA,
    Column("id", String, primary_key=True),
    Column("notification_id", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("finished_at", DateTime),
    Column("result", String, nullable=False),
    Column("status", Integer),
    Column("duration_ms", Double),
    Column("answer", String, nullable=False),
    Column("error", String, nullable=False, default=""),
    Column("provider_id", String, nullable=False, default=""),
)

#: What providers told us that was obeyed: one row an event, so that a second copy changes nothing.
provider_events = Table(
    "provider_events",
    METADATA,
    Column("id", String, primary_key=True),
    Column("channel_id", String, nullable=False),
    Column("at", DateTime, nullable=False),
)
