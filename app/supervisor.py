"""Starts the programs as subprocesses, waits until each is ready, restarts what dies, stops all of it cleanly.

A program is ready when it prints a line `NAME ready ADDRESS`, or when its health address answers. What it prints
goes to HOME/logs/NAME.out, of bounded size. Should the supervisor itself be killed, the kernel ends its programs
(Linux).
"""

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from app.output_file import OutputFile
from data.tasks import Tasks

START_LIMIT_S = 90.0
STOP_LIMIT_S = 40.0
#: Waits before a restart, in seconds; a program that ran for a minute starts over at the first.
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
STEADY_S = 60.0
PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """A program ended or stayed silent before it was ready; the message says which and shows its last lines."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program: how to start it and how to know that it is ready."""

    name: str
    command: tuple[str, ...]
    address: str
    health: str = ""  # an address that answers 200 when ready; '': the program prints its ready line
    once: bool = False  # it does one thing and ends; ready when it has ended well
    says: str = ""  # the name in its ready line, where that is another one
    reloads: bool = False  # SIGHUP makes it read its configuration again
    sockets: tuple[int, ...] = ()  # file descriptors of listening sockets that it is handed


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our modules with this Python."""
    return (sys.executable, "-m", name, *arguments)


class Supervisor:
    """Runs `programs` in order with `environment`, from `folder`; prints through `say`."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        environment: Mapping[str, str],
        folder: Path,
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        self._programs = programs
        self._environment = environment
        self._folder = folder
        self._logs = logs
        self._say = say
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._tasks = Tasks()
        self._stopping = asyncio.Event()

    def stop_soon(self) -> None:
        """Ask for the end; `watch` returns and `stop` may be called. Safe in a signal handler."""
        self._stopping.set()

    def reload(self) -> None:
        """Tell the programs that can to read their configuration again. Safe in a signal handler."""
        for program in self._programs:
            process = self._running.get(program.name)
            if program.reloads and process is not None and process.returncode is None:
                process.send_signal(signal.SIGHUP)

    async def start(self, program: Program) -> None:
        """Start one program and wait until it is ready; raises `StartFailed`."""
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        process = await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder,
            env=dict(self._environment),
            start_new_session=True,
            pass_fds=program.sockets,
            preexec_fn=None if sys.platform == "win32" else _in_child,
        )
        self._running[program.name] = process
        ready = asyncio.Event()
        self._tasks.start(self._keep_output(program, process, ready), name=f"{program.name} output")
        await self._until_ready(program, process, ready)

    async def run(self) -> None:
        """Start everything in order, then keep it running until `stop_soon`."""
        for program in self._programs:
            await self.start(program)
            self._say(f"{program.name:<10} {program.address}")
            if self._stopping.is_set():
                return
        self._say("ready")
        for program in self._programs:
            if not program.once:
                self._tasks.start(self._keep_alive(program), name=f"{program.name} watch")
        await self._stopping.wait()

    async def stop(self) -> None:
        """End all programs, the last started first: a polite signal, then after a while the other one."""
        self._stopping.set()
        for program in reversed(self._programs):
            if process := self._running.get(program.name):
                await _end(process)
        await self._tasks.stop()

    async def _until_ready(self, program: Program, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        signs: list[Coroutine[Any, Any, object]] = [ready.wait(), process.wait(), self._stopping.wait()]
        if program.health:
            signs.append(_answers(program.health))
        waits = [self._tasks.start(sign, name=f"{program.name} start") for sign in signs]
        done, pending = await asyncio.wait(waits, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        if program.once and process.returncode == 0:
            return
        if process.returncode is not None and not self._stopping.is_set():
            raise StartFailed(
                f"{program.name} ended at start (exit {process.returncode}):\n{self._last_lines(program)}"
            )
        if not done:
            raise StartFailed(f"{program.name} was not ready after {START_LIMIT_S:.0f} s:\n{self._last_lines(program)}")

    async def _keep_output(self, program: Program, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        output = process.stdout
        if output is None:
            return
        sign, tail = f"{program.says or program.name} ready".encode(), b""
        with OutputFile(self._log(program)) as log:
            while chunk := await output.read(65536):
                with contextlib.suppress(OSError):  # a full disk: a program whose output is not taken stands still
                    log.write(chunk)
                if sign in (seen := tail + chunk):
                    ready.set()
                tail = seen[-len(sign) :]

    async def _keep_alive(self, program: Program) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            code = await self._running[program.name].wait()
            if self._stopping.is_set():
                return
            failures = 0 if asyncio.get_running_loop().time() - started > STEADY_S else failures
            pause = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            self._say(f"{program.name} ended (exit {code}); starting it again in {pause:g} s, see {self._log(program)}")
            failures += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
                return
            with contextlib.suppress(StartFailed):
                await self.start(program)
                self._say(f"{program.name} is back")

    def _log(self, program: Program) -> Path:
        return self._logs / f"{program.name}.out"

    def _last_lines(self, program: Program) -> str:
        text = self._log(program).read_text(encoding="utf-8", errors="replace") if self._log(program).exists() else ""
        return "\n".join(text.splitlines()[-15:])


async def _answers(address: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(address) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _in_child() -> None:
    # a SIGHUP before the program listens for it would end it, though it has yet to read its configuration anyway
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
