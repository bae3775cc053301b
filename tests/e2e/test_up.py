"""`claude-proxy up`: one line a program, `ready`, and a clean end."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.e2e.stack import ROOT, Spoken, Stack, until
from tests.engine.receivers import free_port


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack for those that leave it as it was."""
    home = Path(tempfile.mkdtemp(prefix="cpa-"))
    stack = Stack(home, ui=False)
    try:
        yield stack.wait_until_ready()
    finally:
        stack.end()
        shutil.rmtree(home, ignore_errors=True)


def test_it_says_when_each_program_is_ready_and_ends_cleanly_on_ctrl_c(make_stack):
    stack = make_stack()
    assert [line.split()[0] for line in stack.up.lines] == ["home", "store", "proxy", "worker", "ready"]
    programs = psutil.Process(stack.up.process.pid).children(recursive=True)
    assert stack.up.end(signal.SIGINT) == 0
    assert [program for program in programs if program.is_running()] == []
    assert not stack.config.socket.exists()


def test_killing_the_supervisor_ends_its_programs(make_stack):
    stack = make_stack()
    programs = psutil.Process(stack.up.process.pid).children(recursive=True)
    stack.up.process.kill()
    gone, alive = psutil.wait_procs(programs, timeout=60)
    assert alive == []
    assert len(gone) >= 3


@pytest.mark.xdist_group("up")
def test_a_killed_program_comes_back_and_the_others_keep_answering(stack):
    for module in ("data", "engine", "proxy"):
        stack.kill(module)
        until(lambda: _healthy(stack.proxy) and _healthy(stack.worker), what=f"healthy after {module} was killed")


@pytest.mark.xdist_group("up")
def test_a_port_that_is_taken_is_said_at_once_and_with_the_option_that_changes_it(stack):
    port = stack.proxy.rpartition(":")[2]
    second = Spoken(
        *(sys.executable, "-m", "app.cli", "up", "--no-ui", "--port", port, "--worker-port", "0"),
        environ={"CLAUDE_PROXY_HOME": str(stack.config.home / "second")},
    )
    assert second.process.wait(180) == 1
    second.end()
    assert second.lines == [
        f"port {port} is taken by another program; end it, or choose another port with --port",
    ]


@pytest.mark.xdist_group("up")
def test_a_second_one_on_the_same_home_is_refused_and_names_the_first(stack):
    ports = ("--port", str(free_port()), "--worker-port", str(free_port()))
    second = Spoken(
        *(sys.executable, "-m", "app.cli", "up", "--no-ui", *ports),
        environ={"CLAUDE_PROXY_HOME": str(stack.config.home)},
    )
    assert second.process.wait(180) == 1
    second.end()
    assert f"already (process {stack.up.process.pid})" in second.lines[0]
    assert _healthy(stack.proxy)


def test_a_store_that_was_started_alone_makes_way(make_stack):
    stack = make_stack(before=("query", "SELECT 1 AS one"))
    assert [line.split()[0] for line in stack.up.lines] == ["home", "store", "proxy", "worker", "ready"]


def test_a_home_that_cannot_be_made_is_said_in_plain_words():
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "up", "--home", "/proc/x", "--no-ui", "--port", "0", "--worker-port", "0"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "the home /proc/x cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("there", "options", "said"), [
    ("analytics.duckdb", ("--demo",), "is not a demo's"),
    ("made-up", (), "is a demo's"),
])  # fmt: skip
def test_real_and_made_up_traffic_are_kept_apart(tmp_path, there, options, said):
    (tmp_path / there).touch()
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "up", *options, "--home", str(tmp_path), "--no-ui", "--port", "0"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "CLAUDE_PROXY_WORKER_PORT": "0"},
    )  # fmt: skip
    assert ended.returncode == 1
    assert f"the home {tmp_path} {said}, whose traffic is made up; name another with --home" in ended.stderr


def test_faults_of_the_configuration_end_it_before_anything_starts(tmp_path: Path):
    path = tmp_path / "proxy.toml"
    path.write_text("[proxy]\nport = 'x'\n[worker]\nprot = 1\n")
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "up", "--config", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    said = ended.stderr.splitlines()
    assert said[:2] == ["The configuration has faults:", f"{path}:"]
    assert [line.split(":")[0] for line in said[2:]] == ["proxy.port", "worker.prot"]


def _healthy(base: str) -> bool:
    try:
        return requests.get(f"{base}/health", timeout=10).json()["status"] == "ok"
    except requests.RequestException:
        return False
