"""The GenAI histograms as an OTLP request (protobuf), made from the tallies when they are pushed. Pure.

Names and attributes are written with dots here, with underscores for Prometheus. Counts are cumulative since
`since_ns`, so that a push that is lost costs nothing.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from proxy.tally import Series, Tally

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

#: By their Prometheus names: OpenTelemetry's, and the unit.
_METRICS: Final[Mapping[str, tuple[str, str]]] = {
    "gen_ai_client_token_usage": ("gen_ai.client.token.usage", "{token}"),
    "gen_ai_client_operation_duration": ("gen_ai.client.operation.duration", "s"),
    "gen_ai_server_time_to_first_token": ("gen_ai.server.time_to_first_token", "s"),
}
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "gen_ai_operation_name": "gen_ai.operation.name",
    "gen_ai_provider_name": "gen_ai.provider.name",
    "gen_ai_request_model": "gen_ai.request.model",
    "gen_ai_response_model": "gen_ai.response.model",
    "gen_ai_token_type": "gen_ai.token.type",
    "error_type": "error.type",
}


def export_request(
    histograms: Iterable[Series[Tally]], resource: Mapping[str, str], *, since_ns: int, now_ns: int
) -> "ExportMetricsServiceRequest":
    """Return what a receiver is sent. Raises ImportError without the package `opentelemetry-proto`."""
    # optional, and only who pushes needs it
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
        ExportMetricsServiceRequest,
    )

    request = ExportMetricsServiceRequest()
    ours = request.resource_metrics.add()
    for name, value in resource.items():
        ours.resource.attributes.add(key=name).value.string_value = value
    scope = ours.scope_metrics.add()
    scope.scope.name = "claude-proxy-analytics"
    for series in histograms:
        name, unit = _METRICS[series.name]
        metric = scope.metrics.add(name=name, description=series.text, unit=unit)
        metric.histogram.aggregation_temporality = 2  # cumulative
        for labels, tally in list(series.by_labels.items()):
            counts = list(tally.counts)  # calls may be counted meanwhile
            if not any(counts):
                continue
            point = metric.histogram.data_points.add(
                start_time_unix_nano=since_ns,
                time_unix_nano=now_ns,
                count=sum(counts),
                sum=tally.sum,
                explicit_bounds=tally.bounds,
                bucket_counts=counts,
            )
            for label, value in zip(series.labels, labels, strict=True):
                if value:
                    point.attributes.add(key=_ATTRIBUTES[label]).value.string_value = value
    return request
