"""A key's limits as answers tell them, in the headers of the client's protocol. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from data.model import Protocol
from proxy.admission.limits import Quota


def quota_headers(quotas: Mapping[str, Quota], protocol: Protocol, now_s: float) -> dict[str, str]:
    """Return Anthropic's `anthropic-ratelimit-*` (resets as RFC 3339 times), else OpenAI's `x-ratelimit-*`."""
    told: dict[str, str] = {}
    for name, quota in quotas.items():
        if protocol is Protocol.ANTHROPIC:
            begin = f"anthropic-ratelimit-{name}"
            reset = datetime.fromtimestamp(now_s, UTC) + timedelta(seconds=quota.reset_s)
            at = reset.isoformat(timespec="seconds").replace("+00:00", "Z")
            told |= {f"{begin}-limit": str(quota.limit), f"{begin}-remaining": str(quota.remaining)}
            told[f"{begin}-reset"] = at
        else:
            told |= {
                f"x-ratelimit-limit-{name}": str(quota.limit),
                f"x-ratelimit-remaining-{name}": str(quota.remaining),
                f"x-ratelimit-reset-{name}": f"{quota.reset_s:.0f}s",
            }
    return told
