"""How far one attempt has come: what it waits for, and until when; and what it is called if it ends there."""

from data.model import Outcome
from proxy.account import Account, Fault
from proxy.faults import Phase, Situation, fault_of
from proxy.overdue import Overdue
from proxy.provider_client import Upload
from proxy.reply import Reply
from proxy.time_limits import TimeLimits
from proxy.usage import ASKING


class Progress:
    """Of one attempt. `clock` ends with TimeoutError what waits too long in it."""

    __slots__ = ("_account", "_asks", "_deadline", "_limits", "_phase", "_reply", "_until", "clock", "upload")

    def __init__(self, account: Account, reply: Reply, limits: TimeLimits, method: str) -> None:
        self._account = account
        self._reply = reply
        self._limits = limits
        self._asks = method in ASKING
        self.clock = Overdue()
        self._deadline = self._until = self.clock.now() + limits.total_s
        self._phase = Phase.FIRST_BYTE
        self.upload = Upload()

    @property
    def phase(self) -> Phase:
        """What is waited for."""
        return self._phase

    def wait(self, phase: Phase) -> None:
        """Wait for `phase` from now on, as long as its limit says."""
        self._phase = phase
        limit_s = self._limits.first_byte_s if phase is Phase.FIRST_BYTE else self._limits.idle_s
        self._deadline = min(self.clock.now() + limit_s, self._until)
        self.clock.set(self._deadline)

    def left(self) -> Fault:
        """The client has gone."""
        # in drain mode the whole answer was read, but not by the client
        status, gone = self._reply.status, self._reply.gone
        return Fault(Outcome.DISCONNECTED, status, "client_disconnected", billed=self._chargeable, final=gone)

    def cancelled(self) -> Fault:
        """The client has gone, or the proxy stops."""
        if self._reply.hung_up:
            return self.left()
        return Fault(Outcome.INTERRUPTED, self._reply.status, "proxy_stopped", billed=self._chargeable)

    def failed(self, error: Exception) -> tuple[int, Fault]:
        """`error` came up. The status is that of an answer that says so."""
        return fault_of(error, self._situation())

    def _situation(self) -> Situation:
        return Situation(
            provider=self._account.start.provider,
            phase=self._phase,
            limits=self._limits,
            sent_status=self._reply.status,
            sent=self._reply.begun,
            began=0 < self._account.status < 400,
            chargeable=self._chargeable,
            over=self._deadline >= self._until,
        )

    @property
    def _chargeable(self) -> bool:
        """Whether the provider may charge: for a good answer that began, or for the whole of a request without any."""
        if (status := self._account.status) or self._asks:
            return 0 < status < 400
        return self.upload.whole
