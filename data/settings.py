"""Reads the configuration: TOML file, then environment, then flags, each over the one before.

Every setting has one variable, `CLAUDE_PROXY_` and its path in capitals (`CLAUDE_PROXY_PROXY_PORT`,
`CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL`). A secret is never written down: it is `env:NAME` or `file:PATH`,
and every variable that holds one may instead end in `_FILE` and name a file. Nothing here prints a value that
could be a secret.
"""

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from data.config import SOCKET_PATH_LIMIT, Config, ProviderConfig
from data.errors import ConfigError

PREFIX = "CLAUDE_PROXY_"
SECTIONS = ("store", "proxy", "worker", "ui")
#: Variables that say where to look rather than what to set.
LOCATIONS = ("CLAUDE_PROXY_HOME", "CLAUDE_PROXY_CONFIG")
DEFAULT_PROVIDERS = {
    "anthropic": {"protocol": "anthropic", "base_url": "https://api.anthropic.com"},
    "openai": {"protocol": "openai", "base_url": "https://api.openai.com"},
}

Tree = dict[str, Any]


def load(
    environ: Mapping[str, str] | None = None,
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """The whole configuration. `overrides` maps dotted paths (`proxy.port`) to values that win over all else.

    Raises `ConfigError`, which lists every fault found, one a line.
    """
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    tree = _file_tree(config_file or _named_file(environ), faults)
    tree.setdefault("providers", {name: dict(provider) for name, provider in DEFAULT_PROVIDERS.items()})
    _apply_environment(tree, environ, faults)
    for path, value in (overrides or {}).items():
        _put(tree, path.split("."), value)
    home = (overrides or {}).get("home") or environ.get("CLAUDE_PROXY_HOME") or tree.get("home") or default_home()
    tree["home"] = str(Path(str(home)).expanduser().absolute())
    config = _validated(tree, faults)
    if config is None or faults:
        raise ConfigError("\n".join(faults))
    return _resolved(config, environ)


def default_home() -> Path:
    """The platform's user data folder for this program."""
    return Path(platformdirs.user_data_dir("claude-proxy", appauthor=False))


def _named_file(environ: Mapping[str, str]) -> Path | None:
    return Path(environ["CLAUDE_PROXY_CONFIG"]) if environ.get("CLAUDE_PROXY_CONFIG") else None


def _file_tree(path: Path | None, faults: list[str]) -> Tree:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{path}: the configuration file cannot be read ({error})")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{path}: not valid TOML: {error}")
    return {}


def _apply_environment(tree: Tree, environ: Mapping[str, str], faults: list[str]) -> None:
    names = {name: path for path in _known_paths(tree) for name in _variables(path)}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in LOCATIONS:
            continue
        if variable in names:
            secret = variable.endswith("API_KEY")
            _put(tree, names[variable], f"env:{variable}" if secret else value)
        elif variable.removesuffix("_FILE") in names and variable.endswith("API_KEY_FILE"):
            _put(tree, names[variable.removesuffix("_FILE")], f"file:{value}")
        else:
            faults.append(f"{variable}: no such setting{_nearest(variable, names)}")


def _known_paths(tree: Tree) -> Iterator[list[str]]:
    for section in dataclasses.fields(Config):
        if section.name in SECTIONS:
            kind: Any = section.type
            yield from ([section.name, setting.name] for setting in dataclasses.fields(kind))
    providers = tree.get("providers")
    for name in [*(providers if isinstance(providers, dict) else {})]:
        yield from (["providers", name, f.name] for f in dataclasses.fields(ProviderConfig) if f.name != "name")


def _variables(path: list[str]) -> tuple[str, ...]:
    return (PREFIX + "_".join(part.replace("-", "_") for part in path).upper(),)


def _nearest(word: str, words: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _put(tree: Tree, path: list[str], value: object) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            return  # the wrong type is reported where the tree is validated
        tree = below
    tree[path[-1]] = value


def _validated(tree: Tree, faults: list[str]) -> Config | None:
    try:
        config = TypeAdapter(Config).validate_python(tree)
    except ValidationError as error:
        faults.extend(_plain(fault) for fault in error.errors(include_url=False))
        return None
    faults.extend(fault for check in CHECKS for fault in check(config))
    return config


def _plain(fault: ErrorDetails) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    said = fault["msg"]
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{where}: no such setting"
        case "missing" | "missing_argument":
            return f"{where}: is missing"
        case "string_pattern_mismatch":
            said = PATTERNS.get(fault["loc"][-1], said)
    shown = "" if fault["loc"][-1] == "api_key" else f" (got {str(fault['input'])[:80]!r})"
    return f"{where}: {said[0].lower()}{said[1:]}{shown}"


PATTERNS: Mapping[int | str, str] = {
    "base_url": "must be an http:// or https:// address",
    "memory_limit": 'must be a size such as "4GB"',
    "tcp": 'must be "host:port", or empty',
}


def _route_faults(config: Config) -> Iterator[str]:
    for index, route in enumerate(config.routes):
        if route.provider not in config.providers:
            known = ", ".join(config.providers) or "none is configured"
            yield f"routes.{index}.provider: no provider {route.provider!r} (known: {known})"


def _secret_faults(config: Config) -> Iterator[str]:
    for name, provider in config.providers.items():
        if provider.api_key and not provider.api_key.startswith(("env:", "file:")):
            yield f'providers.{name}.api_key: write "env:NAME" or "file:PATH"; a secret does not belong in this file'


def _home_faults(config: Config) -> Iterator[str]:
    if len(os.fsencode(config.socket)) > SOCKET_PATH_LIMIT:
        yield f"home: {config.home} is too long to hold a Unix socket ({SOCKET_PATH_LIMIT} bytes); name a shorter one"
    if config.home.exists() and not config.home.is_dir():
        yield f"home: {config.home} is not a folder"


def _port_faults(config: Config) -> Iterator[str]:
    used: dict[int, str] = {}
    for name, port in (("proxy", config.proxy.port), ("worker", config.worker.port), ("ui", config.ui.port)):
        if port and port in used:
            yield f"{name}.port: {port} is taken by {used[port]}.port"
        used[port] = name


CHECKS: tuple[Callable[[Config], Iterator[str]], ...] = (_route_faults, _secret_faults, _home_faults, _port_faults)


def _resolved(config: Config, environ: Mapping[str, str]) -> Config:
    faults: list[str] = []
    providers = {}
    for name, provider in config.providers.items():
        try:
            key = secret(provider.api_key, environ)
        except ConfigError as error:
            faults.append(f"providers.{name}.api_key: {error}")
            continue
        url = provider.base_url.rstrip("/")
        providers[name] = dataclasses.replace(provider, name=name, base_url=url, api_key=key)
    if faults:
        raise ConfigError("\n".join(faults))
    return dataclasses.replace(config, providers=providers)


def secret(reference: str, environ: Mapping[str, str]) -> str:
    """The secret behind `env:NAME` (or the file that `NAME_FILE` names) or `file:PATH`; '' for ''.

    Raises `ConfigError` that names the variable or the file, never the value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name in environ:
            return environ[name].strip()
        if f"{name}_FILE" not in environ:
            raise ConfigError(f"neither {name} nor {name}_FILE is set in the environment")
        name = environ[f"{name}_FILE"]
    if not name:
        return ""
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file {name} cannot be read ({type(error).__name__})") from error
