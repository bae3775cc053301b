"""Every dimension there is: what requests can be broken down and filtered by."""

from dataclasses import dataclass

from data.errors import UnknownMetric
from data.names import unknown
from data.schema import ROLLUP_DIMENSIONS


@dataclass(frozen=True, slots=True)
class Dimension:
    """What requests can be broken down and filtered by; values are text ('' where unknown)."""

    name: str
    label: str
    tag: str = ""  # the tag's name, for `tag:NAME`

    @property
    def in_rollups(self) -> bool:
        """Whether the rollups know it; if not, it is answered from `requests`, slower."""
        return self.name in ROLLUP_DIMENSIONS


#: Every dimension; "tag" stands for one dimension a tag, asked for as "tag:NAME".
DIMENSIONS: tuple[Dimension, ...] = (
    Dimension("provider", "Provider"),
    Dimension("model", "Model"),
    Dimension("key", "Key"),
    Dimension("user", "User"),
    Dimension("team", "Team"),
    Dimension("project", "Project"),
    Dimension("session", "Session"),
    Dimension("protocol", "Protocol"),
    Dimension("endpoint", "Endpoint"),
    Dimension("stream", "Streaming"),
    Dimension("status", "Status"),
    Dimension("outcome", "Outcome"),
    Dimension("source", "Source"),
    Dimension("tag", "Tag"),
    Dimension("agent", "Agent"),
    Dimension("model_requested", "Requested model"),
    Dimension("error_class", "Error class"),
    Dimension("cost_status", "Cost status"),
    Dimension("service_tier", "Service tier"),
)

#: What metrics of budgets are split by, and nothing else is: `NAME`, or `NAME/VALUE` where each value has its own.
BUDGET = Dimension("budget", "Budget")

#: What besides the provider metrics of providers' limits are split by, and nothing else is: whom a limit is for (the
#: provider's credential by its name, else the caller's key as the ledger has it), and which one it is.
CREDENTIAL, LIMIT = Dimension("credential", "Credential"), Dimension("limit", "Limit")

#: Every dimension that only some metrics have.
OWN_DIMENSIONS: tuple[Dimension, ...] = (BUDGET, CREDENTIAL, LIMIT)

_DIMENSIONS = {d.name: d for d in (*DIMENSIONS, *OWN_DIMENSIONS)}
TAG_PREFIX = "tag:"


def dimension(name: str) -> Dimension:
    """The dimension of that name, "tag:NAME" for a tag; raises UnknownMetric with the nearest names."""
    if name.startswith(TAG_PREFIX) and name != TAG_PREFIX:
        tag = name.removeprefix(TAG_PREFIX)
        return Dimension(name, f"Tag {tag}", tag)
    found = _DIMENSIONS.get(name)
    if found is None:
        raise UnknownMetric(unknown("dimension", name, _DIMENSIONS))
    if name == "tag":
        raise UnknownMetric('a tag needs its name: "tag:NAME"')
    return found
