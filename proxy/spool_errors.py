"""What can go wrong with the spool.

ProxyError
└── SpoolError
    ├── SpoolBusy   another process has the spool open
    └── SpoolFull   a start could not be written (the disk is full): the request must not be sent on
"""

from proxy.errors import ProxyError


class SpoolError(ProxyError):
    """Base of the spool's errors."""


class SpoolBusy(SpoolError):
    """Another process has the spool open."""


class SpoolFull(SpoolError):
    """The disk takes no more: the request must not be sent on."""
