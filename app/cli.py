"""The `claude-proxy` command."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import demo_rules, premises, stack
from app import doctor as checks
from app import replay as trace
from app.command_options import ConfigFile, Home
from app.import_cli import import_app
from app.keys_cli import keys_app
from app.reprice_cli import reprice
from app.rules_cli import rules_app
from app.supervisor import StartFailed, Supervisor
from data import demo
from data.config import Config
from data.errors import ConfigError, DataError
from data.settings import load
from data.store import Role, connect, ensure_running
from engine.errors import EngineError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Gateway, analytics and alerting for LLM traffic.",
)
demo_app = typer.Typer(no_args_is_help=True, help="Made-up history.")
app.add_typer(demo_app, name="demo")
app.add_typer(keys_app, name="keys")
app.add_typer(rules_app, name="rules")
app.add_typer(import_app, name="import")

Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The port to listen on.", show_default="the configured one")
]
UiPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The app's port.", show_default="8501")]
WorkerPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The worker's port.", show_default="8083")]
ProxyPort = Annotated[int | None, typer.Option(min=0, max=65535, help="The proxy's port.", show_default="8082")]


def main() -> None:
    """Run the command line; faults of the configuration, the data or a start end it with a plain message."""
    try:
        app()
    except ConfigError as error:
        sys.exit(f"The configuration has faults:\n{error}")
    except (DataError, EngineError, StartFailed, premises.Occupied, trace.TraceError) as error:
        sys.exit(str(error))


@app.command()
def up(
    *,
    with_demo: Annotated[
        bool, typer.Option("--demo", help="With a simulated provider, 90 days of history and live traffic.")
    ] = False,
    home: Home = None,
    port: ProxyPort = None,
    ui_port: UiPort = None,
    worker_port: WorkerPort = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Without the app.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Start and watch everything: the store, the proxy, the worker and the app."""
    if with_demo and home is None and "CLAUDE_PROXY_HOME" not in os.environ:
        home = premises.demo_home()
    settings = _given({"proxy.port": port, "ui.port": ui_port, "worker.port": worker_port})
    provider_port = stack.free_port() if with_demo else 0
    if with_demo:
        provider = stack.url("127.0.0.1", provider_port)
        settings |= {f"providers.{name}.base_url": provider for name in ("anthropic", "openai")}
    config = _load(home, config_file, settings)
    ports = {
        "--port": (config.proxy.host, config.proxy.port),
        "--worker-port": (config.worker.host, config.worker.port),
    }
    if not no_ui:
        ports["--ui-port"] = (config.ui.host, config.ui.port)
    with premises.held(config, ports, demo=with_demo), stack.shared_socket(config) as socket_fd:
        _say(f"home       {config.home}")
        programs = stack.programs(config, ui=not no_ui, socket_fd=socket_fd)
        if with_demo:
            before = (programs[0], stack.history_program(), stack.provider_program(provider_port))
            programs = (*before, *programs[1:], stack.traffic_program(config))
        environment = stack.environment(config, settings, _environ(config_file))
        logs = config.home / "logs"
        supervisor = Supervisor(programs, environment=environment, folder=stack.ROOT, logs=logs, say=_say)
        asyncio.run(_supervise(supervisor))


@app.command()
def store(*, home: Home = None, config_file: ConfigFile = None) -> None:
    """Run the store alone, in the foreground."""
    _become("data", home, config_file, {})


@app.command()
def proxy(*, home: Home = None, port: Port = None, config_file: ConfigFile = None) -> None:
    """Run the proxy alone, in the foreground."""
    _become("proxy", home, config_file, {"proxy.port": port})


@app.command()
def worker(*, home: Home = None, port: Port = None, config_file: ConfigFile = None) -> None:
    """Run the alert worker alone, in the foreground."""
    _become("engine", home, config_file, {"worker.port": port})


@app.command()
def ui(*, home: Home = None, port: Port = None, config_file: ConfigFile = None) -> None:
    """Run the app alone, in the foreground; it starts the store if none runs."""
    settings = _given({"ui.port": port})
    config = _load(home, config_file, settings)
    os.chdir(stack.ROOT)  # Streamlit reads .streamlit/config.toml from here
    command = stack.ui_program(config).command
    os.execve(command[0], command, stack.environment(config, settings, _environ(config_file)))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="CSV with TIMESTAMP, ContextTokens, GeneratedTokens.")],
    *,
    speed: Annotated[str, typer.Option(help="Times real time, or max.")] = "max",
    model: Annotated[str, typer.Option(help="The model to ask for.")] = "claude-sonnet-5-5",
    url: Annotated[str, typer.Option(help="The proxy.", show_default="the configured one")] = "",
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight at most.")] = 64,
    retries: Annotated[int, typer.Option(min=0, help="How often to resend a call that reached nobody.")] = 0,
    real_providers: Annotated[
        bool, typer.Option("--real-providers", help="Even if the proxy calls real providers, which costs money.")
    ] = False,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Send a recorded trace through the proxy; the simulated provider answers with the trace's token counts."""
    config = _load(home, config_file, {})
    address = url or stack.url(stack.reachable(config.proxy.host), config.proxy.port)
    outside = asyncio.run(trace.outside_providers(address, config.proxy.api_token))
    if outside and not real_providers:
        raise trace.TraceError(
            f"The proxy at {address} calls {', '.join(outside)}: every call of the trace would cost money. "
            "Replay against claude-proxy up --demo, or say --real-providers."
        )
    result = asyncio.run(
        trace.replay(
            file,
            url=address,
            speed=trace.speed_of(speed),
            model=model,
            concurrency=concurrency,
            retries=retries,
        )
    )
    typer.echo(
        f"{result.sent:,} calls in {result.seconds:.1f} s: {result.answered:,} answered, {result.failed:,} failed; "
        f"{result.input_tokens:,} input and {result.output_tokens:,} output tokens"
    )
    if result.failed:
        typer.echo(f"The first that failed: {result.first_failure}", err=True)
    raise typer.Exit(1 if result.failed else 0)


@app.command()
def query(
    text: Annotated[str, typer.Argument(help="One SELECT.")],
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="As CSV instead of a table.")] = False,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Ask the store in SQL, in the reader's role; starts the store if none runs."""
    config = _load(home, config_file, {})
    ensure_running(config)
    frame = connect(config, Role.READER).sql(text)
    typer.echo(frame.write_csv() if as_csv else str(frame), nl=not as_csv)


@app.command()
def doctor(*, home: Home = None, config_file: ConfigFile = None) -> None:
    """Say what is set up, what is reachable and what is missing."""
    config = _load(home, config_file, {})
    findings = asyncio.run(checks.examine(config, _environ(config_file)))
    for finding in findings:
        typer.echo(f"{finding.verdict.value:<8} {finding.subject:<22} {finding.detail}")
    raise typer.Exit(1 if any(finding.verdict is checks.Verdict.FAULT for finding in findings) else 0)


app.command()(reprice)


@demo_app.command("load")
def demo_load(
    *,
    days: Annotated[int, typer.Option(min=1, max=730)] = 90,
    requests: Annotated[int, typer.Option(min=1, max=20_000_000)] = demo.DEFAULT_REQUESTS,
    seed: int = 1,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Load made-up history of a team, and its rules; loading the same again adds nothing."""
    config = _load(home, config_file, {})
    ensure_running(config)
    client = connect(config)
    rows = demo.load(client, days=days, requests=requests, seed=seed)
    watching = demo_rules.add(client)
    typer.echo(f"{rows:,} requests over {days} days, {watching} rules")


def _given(settings: dict[str, object]) -> dict[str, object]:
    return {path: value for path, value in settings.items() if value is not None}


def _load(home: Path | None, config_file: Path | None, settings: dict[str, object]) -> Config:
    overrides = settings if home is None else {**settings, "home": str(home)}
    return load(config_file=config_file, overrides=overrides)


def _environ(config_file: Path | None) -> dict[str, str]:
    named = {"CLAUDE_PROXY_CONFIG": str(config_file.absolute())} if config_file else {}
    return {**os.environ, **named}


def _become(name: str, home: Path | None, config_file: Path | None, settings: dict[str, object]) -> None:
    config = _load(home, config_file, _given(settings))
    environ = stack.environment(config, _given(settings), _environ(config_file))
    os.execve(sys.executable, (sys.executable, "-m", name), environ)


async def _supervise(supervisor: Supervisor) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop_soon)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    try:
        await supervisor.run()
    finally:
        await supervisor.stop()


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
