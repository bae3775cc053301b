"""Processes that begin at once, to be killed at any moment: forked from one that has imported what they need.

A Python of their own would import for seconds, each time one is killed and started again.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from multiprocessing.reduction import DupFd
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("data.__main__", "proxy.__main__", "proxy.simulated.__main__"),
        "tests.engine.dying_worker",
        *("tests.proxy.budget_caller", "tests.proxy.limits_caller", "tests.proxy.spool_writer"),
    ]
)


class Forked:
    """`python -m MODULE ARGUMENTS` as a fork, with what a test needs of `subprocess.Popen`.

    `stdout` has what it says as text, with `errors` its errors too. `environ` is its whole environment.
    """

    def __init__(
        self, module: str, *arguments: str, environ: dict[str, str] | None = None, errors: bool = False
    ) -> None:
        said, say = os.pipe()
        settings = dict(os.environ if environ is None else environ)
        # a daemon: should a test fail before it ends it, it goes with the tests
        told = DupFd(say), (1, 2) if errors else (1,)
        self._process = FORKS.Process(target=_become, args=(module, arguments, settings, *told), daemon=True)
        self._process.start()
        os.close(say)
        self.stdout = os.fdopen(said, encoding="utf-8", errors="replace")
        self.pid = self._process.pid
        self._ended: int | None = None

    @property
    def returncode(self) -> int | None:
        """As it ended, minus the signal that killed it; `None` while it runs."""
        return self._process.exitcode if self._ended is None else self._ended

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, limit_s: float = 120.0) -> int:
        """How it ended; raises `TimeoutExpired` when it has not within `limit_s`."""
        if self._ended is None:
            self._process.join(limit_s)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", limit_s)
        return code

    def end(self) -> int:
        """Wait for its end and let go of all that it had; how it ended."""
        if self._ended is None:
            self._ended = self.wait()
            self.stdout.close()
            self._process.close()
        return self._ended


def _become(
    module: str, arguments: tuple[str, ...], environ: dict[str, str], say: Any, numbers: tuple[int, ...]
) -> None:
    os.environ.clear()
    os.environ.update(environ)
    descriptor = say.detach()
    for number in numbers:
        os.dup2(descriptor, number)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)
    sys.argv = [module, *arguments]
    for name in (module, f"{module}.__main__"):  # what it needs stays; itself it runs anew
        sys.modules.pop(name, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
