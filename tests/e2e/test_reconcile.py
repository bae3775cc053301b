"""The reconciliation finds what it is there to find."""

from decimal import Decimal

import pytest

from tests.e2e.callers import Ask, Told
from tests.e2e.reconcile import differences

TOKENS = {"uncached_input": 10, "cache_read": 0, "cache_write_5m": 0, "cache_write_1h": 0, "output": 5, "reasoning": 0}
SERVED = {"id": "req_1", "n": 1, "provider": "one", "status": 200, "complete": True, "fault": "", "tokens": TOKENS}
ROW = {
    "id": "a",
    "n": 1,
    "provider": "one",
    "attempt": 1,
    "provider_request_id": "req_1",
    "outcome": "ok",
    "status": 200,
    "error_class": "",
    "cost_status": "exact",
    "cost_usd": Decimal("0.00014"),
    "liability_usd": None,
    "uncached_input_tokens": 10,
    "cache_read_tokens": 0,
    "cache_write_5m_tokens": 0,
    "cache_write_1h_tokens": 0,
    "output_tokens": 5,
    "reasoning_tokens": 0,
}
SILENT = ROW | {"provider_request_id": "", "outcome": "timeout", "cost_status": "estimated"}
REFUSED = SERVED | {"status": 529}
WHOLE = Told(1, Ask(), 200, whole=True, provider_request_id="req_1")


@pytest.mark.parametrize(
    ("served", "rows"),
    [
        pytest.param([SERVED], [ROW], id="by the provider's id"),
        pytest.param([SERVED], [SILENT], id="by the call's number"),
        pytest.param([SERVED], [ROW, SILENT | {"id": "b", "cost_usd": Decimal(0)}], id="never sent"),
        pytest.param([], [SILENT | {"outcome": "interrupted"}], id="the proxy was killed"),
        pytest.param([REFUSED], [ROW | {"outcome": "error", "cost_usd": Decimal(0)}], id="an error"),
    ],
)
def test_books_that_agree_have_no_differences(served: list[dict], rows: list[dict]):
    assert differences(served, rows) == []


@pytest.mark.parametrize(
    ("served", "rows", "told", "said"),
    [
        pytest.param([SERVED], [], (), "in no row", id="missing"),
        pytest.param([SERVED], [ROW, ROW | {"id": "b"}], (), "2 rows for one request", id="twice"),
        pytest.param([SERVED], [ROW, ROW], (), "a row id twice", id="same row twice"),
        pytest.param([SERVED], [ROW, SILENT | {"id": "b"}], (), "nobody served it", id="one row too many"),
        pytest.param(
            [SERVED], [ROW | {"provider_request_id": "req_2"}], (), "that nobody served", id="unknown request"
        ),
        pytest.param([SERVED], [ROW | {"n": 2}], (), "of another call", id="mixed up"),
        pytest.param([SERVED], [ROW | {"output_tokens": 6}], (), "the counts differ", id="other counts"),
        pytest.param([SERVED], [ROW | {"cost_usd": Decimal("0.00015")}], (), "the cost is not", id="other cost"),
        pytest.param([SERVED], [ROW | {"cost_status": "estimated"}], (), "not exact", id="estimated"),
        pytest.param([SERVED], [SILENT | {"cost_usd": Decimal("0.0001")}], (), "count less", id="undercounted"),
        pytest.param(
            [SERVED],
            [SILENT | {"outcome": "error", "cost_status": "exact", "cost_usd": Decimal(0)}],
            (),
            "the cost is not",
            id="unanswered and free",
        ),
        pytest.param([REFUSED], [ROW | {"outcome": "error"}], (), "an error costs", id="charged error"),
        pytest.param([SERVED], [SILENT], (WHOLE,), "has its whole answer", id="answered"),
        pytest.param([], [], (WHOLE,), "has no row", id="answered without a row"),
    ],
)
def test_each_difference_is_told(served: list[dict], rows: list[dict], told: tuple[Told, ...], said: str):
    assert any(said in line for line in differences(served, rows, told))
