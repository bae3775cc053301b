"""Times in bodies, read as those in queries are (`engine.api.reading.moment`)."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


#: A time in UTC; it may be written with another zone, and is meant as UTC without one.
Moment = Annotated[datetime, AfterValidator(_utc)]
