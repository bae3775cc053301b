"""The routes of the proxy's own state, and what their answers look like."""

from typing import Any, Final

from proxy.api_document import ApiDocument
from proxy.api_route import ApiRoute, Handler, Parameter
from proxy.live import FEED_LENGTH
from proxy.monitor import Monitor

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_NUMBER: Final = {"type": "number"}
_MAYBE: Final = {"type": ["number", "null"]}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_LIMIT: Final = Parameter("limit", "How many items.", {"type": "integer", "minimum": 1, "maximum": FEED_LENGTH})
_AFTER: Final = Parameter("after", "The number of the last item already seen.", {"type": "integer", "minimum": 0})


def _object(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _items(of: dict[str, Any], following: dict[str, Any]) -> dict[str, Any]:
    return _object(items={"type": "array", "items": of}, next=following)


_RATES: Final = {
    "requests_per_second": _NUMBER,
    "errors_per_second": _NUMBER,
    "cost_per_minute": _NUMBER,
    "tokens_per_second": _NUMBER,
    **{f"{what}_p{percent}_ms": _MAYBE for what in ("latency", "ttft") for percent in (50, 95, 99)},
}
_CHECK: Final = _object(status={"enum": ["ok", "degraded", "failing"]}, detail=_TEXT)
_HEALTH: Final = _object(
    status=_CHECK["properties"]["status"], checks={"type": "object", "additionalProperties": _CHECK}
)
_SPOOL: Final = _object(records=_COUNT, bytes=_COUNT, oldest_us={"type": ["integer", "null"]}, in_flight=_COUNT)
_PROVIDER_HEALTH: Final = _object(
    status=_CHECK["properties"]["status"],
    reasons={"type": "array", "items": _TEXT},
    error_share=_MAYBE,
    circuits={"type": "array", "items": {"type": "object"}},
    limits_near={"type": "array", "items": _TEXT},
)
_PROVIDER: Final = _object(
    name=_TEXT,
    protocol=_TEXT,
    base_url=_TEXT,
    own_key={"type": "boolean"},
    in_flight=_COUNT,
    **_RATES,
    health=_PROVIDER_HEALTH,
)
_STATS: Final = _object(
    time=_MOMENT,
    in_flight=_COUNT,
    **_RATES,
    totals={"type": "object"},
    providers={"type": "object"},
    calls={"type": "array", "items": {"type": "object"}},
    spool=_SPOOL,
    telemetry={"type": "object"},
    version=_TEXT,
)
_PROVIDER_LIMIT: Final = _object(
    name=_TEXT,
    unit={"enum": ["requests", "tokens", "share"]},
    limit=_MAYBE,
    remaining=_NUMBER,
    remaining_share=_MAYBE,
    reset_at={"type": ["string", "null"]},
    reset_passed={"type": "boolean"},
    used_per_second=_MAYBE,
    exhausted_in_s=_MAYBE,
    near={"type": "boolean"},
)
_LIMITS: Final = _object(
    provider=_TEXT,
    credential=_TEXT,
    seen_at=_MOMENT,
    status=_TEXT,
    limits={"type": "array", "items": _PROVIDER_LIMIT},
)
_NO_MORE: Final = {"type": "null"}


def routes(monitor: Monitor, document: ApiDocument, *, live: Handler, notifications: Handler) -> tuple[ApiRoute, ...]:
    """Return the routes; `live` and `notifications` serve the WebSockets."""
    opens, away = "It opens.", "The worker does not answer."
    good, failing = "How the proxy is.", "It refuses calls."
    health: dict[str, Any] = {"result": _HEALTH, "told_so": (503,), "answers": {200: good, 503: failing}}

    def get(path: str, handler: Handler, summary: str, result: dict[str, Any], **more: Any) -> ApiRoute:
        return ApiRoute("GET", path, handler, summary, **{"answers": {200: summary}, "result": result, **more})

    return (
        get("/health", monitor.health, "How the proxy is, for whoever asks", open=True, **health),
        get("/metrics", monitor.metrics, "Metrics in Prometheus' text format", _TEXT, media="text/plain"),
        get("/api/system/health", monitor.health, "How the proxy is", **health),
        get("/api/system/stats", monitor.stats, "Rates, calls in flight and totals", _STATS),
        get(
            "/api/system/request-feed",
            monitor.request_feed,
            "The newest calls",
            _items({"type": "object"}, _TEXT),
            query=(_LIMIT, _AFTER),
        ),
        get("/api/system/providers", monitor.providers, "The providers and their health", _items(_PROVIDER, _NO_MORE)),
        get("/api/system/limits", monitor.limits, "The providers' own limits", _items(_LIMITS, _NO_MORE)),
        get("/api/system/spool", monitor.spool, "What waits for the store", _SPOOL),
        get("/api/system/version", monitor.version, "The program's version", _object(version=_TEXT)),
        get("/api/openapi.json", document.handle, "This description", {"type": "object", "required": ["paths"]}),
        get("/ws/live", live, "What happens now, a message a second (WebSocket)", {}, answers={101: opens}),
        get(
            "/ws/notifications",
            notifications,
            "The app's messages as they arrive (WebSocket, the worker's)",
            {},
            answers={101: opens, 503: away},
        ),
    )
