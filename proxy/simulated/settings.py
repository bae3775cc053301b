"""What a simulated provider is told at start."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SimulatedSettings:
    """How the simulated provider behaves; the defaults are a healthy provider at real speed.

    `speed` multiplies real speed; 0 answers without any delay. Rates are shares of the requests (0 to 1)
    that meet a fault of that kind, drawn from `seed`; a request with an `x-simulate` header meets none.
    """

    seed: int = 1
    speed: float = 1.0
    error_rate: float = 0.0  # status 500
    rate_limit_rate: float = 0.0  # status 429 with a retry-after
    overload_rate: float = 0.0  # 529 overloaded_error, 503 where the protocol is OpenAI's
    hang_rate: float = 0.0  # never answers
    hang_up_rate: float = 0.0  # closes the connection in the middle of its answer
    error_event_rate: float = 0.0  # an error event inside a 200 stream
    log_size: int = 10_000  # requests that /simulated/log remembers
    api_key: str = ""  # when set, any other credential is answered with 401
    max_body_bytes: int = 512 * 1024 * 1024
