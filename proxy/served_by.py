"""Who served a call: headers that the client's answer gets. Pure."""

from data.model import RequestStart


def served_by(start: RequestStart) -> dict[str, str]:
    """Return `x-claude-proxy-provider`, `-model`, `-attempt` and, after a failure, `-cause`."""
    marks = {"x-claude-proxy-provider": start.provider}
    if model := start.model_sent or start.model_requested:
        marks["x-claude-proxy-model"] = model.encode("ascii", "replace").decode()
    if start.attempt > 1:
        marks["x-claude-proxy-attempt"] = str(start.attempt)
        marks["x-claude-proxy-cause"] = start.cause
    return marks
