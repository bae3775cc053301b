"""LiteLLM's proxy, installed in an environment of its own and running as its documentation advises for speed."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import psutil
import yaml

VENV = platformdirs.user_cache_path("claude-proxy-analytics") / "benchmarks" / "litellm"
START_S = 120.0
#: "Production Best Practices" and "Benchmarks" of docs.litellm.ai: production mode, no debug output, no callbacks, no
#: retries, one Uvicorn worker a machine. Without a database, a cache and a master key, which all would cost it time.
ENVIRON = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY_DISABLED": "true",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "NO_DOCS": "True",
    "DISABLE_ADMIN_UI": "True",
}
CHAT, MESSAGES, RUST = "gpt-5.1", "claude-sonnet-4-5", "claude-sonnet-4-5-rust"


class NoPeer(Exception):
    """The peer cannot be installed or started; says why."""


def installed(folder: Path, requirement: str) -> tuple[Path, str]:
    """LiteLLM's command in an environment of its own, and its version; installs it where it is missing.

    Raises NoPeer.
    """
    command = folder / "bin" / "litellm"
    if not command.exists():
        venv.create(folder, with_pip=True)
        _run(folder, "-m", "pip", "install", "--quiet", requirement)
    return command, _run(folder, "-c", "import importlib.metadata as m; print(m.version('litellm'))")


def _run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([folder / "bin" / "python", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoPeer(f"{folder}: python {' '.join(arguments)}: {done.stderr.strip()[-400:]}")
    return done.stdout.strip()


def configuration(upstream: str) -> dict[str, object]:
    """Three models at one provider; one is served by the Rust core that LiteLLM offers for Messages."""
    anthropic = {"model": "anthropic/claude-sonnet-4-5", "api_key": "sk-bench", "api_base": upstream}
    openai = {"model": f"openai/{CHAT}", "api_key": "sk-bench", "api_base": f"{upstream}/v1"}
    models = {CHAT: openai, MESSAGES: anthropic, RUST: {**anthropic, "rust": True}}
    return {
        "model_list": [{"model_name": name, "litellm_params": model} for name, model in models.items()],
        "litellm_settings": {"callbacks": [], "num_retries": 0, "request_timeout": 30, "set_verbose": False},
    }


@contextmanager
def running(command: Path, upstream: str, home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The peer in front of `upstream`, and where it listens. Raises NoPeer where it does not come up."""
    config, log, port = home / "litellm.yaml", home / "litellm.log", _free_port()
    config.write_text(yaml.safe_dump(configuration(upstream)))
    environ = {"PATH": f"{command.parent}{os.pathsep}{os.defpath}", "HOME": str(home), **ENVIRON}
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with (
        log.open("wb") as out,
        subprocess.Popen([command, *arguments], cwd=home, env=environ, stdout=out, stderr=out) as process,
    ):
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health/liveliness", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise NoPeer(f"it does not answer at {url}: {log.read_text(errors='replace')[-400:]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
