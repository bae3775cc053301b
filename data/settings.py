"""Reads the configuration: TOML file, then environment, then flags, each over the one before.

Every setting has one variable, `CLAUDE_PROXY_` and its path in capitals (`CLAUDE_PROXY_PROXY_PORT`,
`CLAUDE_PROXY_PROVIDERS_ANTHROPIC_BASE_URL`). A secret is never written down: it is `env:NAME` or `file:PATH`,
and every variable that holds one may instead hold such a reference, or end in `_FILE` and name a file. Nothing here
prints a value that could be a secret.
"""

import copy
import dataclasses
import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import TypeAdapter, ValidationError

from data.config import Config, ProviderConfig
from data.errors import ConfigError
from data.faults import Fault, Place, Tree
from data.settings_checks import CHECKS, REFERENCES, SECRETS, keys_of, plain, secrets_in

PREFIX = "CLAUDE_PROXY_"
SECTIONS = ("store", "proxy", "worker", "ui", "keys", "tiers", "breaker", "budgets", "otlp", "retention")
#: Variables that say where to look rather than what to set.
LOCATIONS = ("CLAUDE_PROXY_HOME", "CLAUDE_PROXY_CONFIG")
#: What has no variable of its own: the name stands in the variable's, and lists are for the file.
_UNSETTABLE = frozenset({"name", "api_keys"})
DEFAULT_PROVIDERS = {
    "anthropic": {"protocol": "anthropic", "base_url": "https://api.anthropic.com"},
    "openai": {"protocol": "openai", "base_url": "https://api.openai.com"},
}
#: Those that are there without a file as soon as a variable sets anything of them.
OTHER_PROVIDERS = {"gemini": {"protocol": "gemini", "base_url": "https://generativelanguage.googleapis.com"}}


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
    path = config_file or _named_file(environ)
    faults: list[str] = []
    written = _file_tree(path, faults)
    tree = copy.deepcopy(written)
    tree.setdefault("providers", _usual_providers(environ))
    sources = Sources(path, written)
    _apply_environment(tree, environ, sources, faults)
    _apply_overrides(tree, overrides or {}, sources)
    home = tree.get("home") or default_home()
    tree["home"] = str(Path(str(home)).expanduser().absolute())
    config, found = _validated(tree, environ)
    faults += sources.told(found)
    if config is None or faults:
        raise ConfigError("\n".join(faults))
    return _resolved(config, environ)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where each value came from, so that a fault names what is to be changed."""

    file: Path | None
    written: Tree
    variables: dict[Place, str] = field(default_factory=dict)
    flags: set[Place] = field(default_factory=set)

    def told(self, faults: Iterable[Fault]) -> list[str]:
        """One line a fault; those of the file stand together behind one line that names it."""
        lines: dict[bool, list[str]] = {False: [], True: []}
        for fault in faults:
            other = f" {self.name(fault.other)}" if fault.other else ""
            lines[self._is_in_file(fault.place)].append(f"{self.name(fault.place)}: {fault.said}{other}")
        return lines[False] + ([f"{self.file}:"] if lines[True] else []) + lines[True]

    def name(self, place: Place) -> str:
        """The variable that set the value, else the setting's path."""
        return self.variables.get(place) or ".".join(str(part) for part in place)

    def _is_in_file(self, place: Place) -> bool:
        return place not in self.variables and place not in self.flags and place[0] in self.written


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


def _apply_environment(tree: Tree, environ: Mapping[str, str], sources: Sources, faults: list[str]) -> None:
    names = {name: path for path in _known_paths(tree) for name in _variables(path)}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable in LOCATIONS:
            continue
        path = names.get(variable) or names.get(variable.removesuffix("_FILE"), [])
        if not path or (variable not in names and not _is_secret(path)):
            faults.append(f"{variable}: no such setting{_nearest(variable, names)}")
            continue
        _put(tree, path, _referred(variable, value) if _is_secret(path) else value)
        sources.variables[tuple(path)] = variable
    if environ.get("CLAUDE_PROXY_HOME"):
        tree["home"] = environ["CLAUDE_PROXY_HOME"]
        sources.variables["home",] = "CLAUDE_PROXY_HOME"


def _is_secret(path: list[str]) -> bool:
    return path[-1] == "api_key" or tuple(path) in SECRETS


def _referred(variable: str, value: str) -> str:
    """A variable holds the key, a reference to it, or (`_FILE`) a file's name."""
    if variable.endswith("_FILE"):
        return f"file:{value}"
    return value if value.startswith(REFERENCES) else f"env:{variable}"


def _apply_overrides(tree: Tree, overrides: Mapping[str, object], sources: Sources) -> None:
    for dotted, value in overrides.items():
        if dotted == "home" and not value:
            continue
        path = dotted.split(".")
        _put(tree, path, value)
        sources.flags.add(tuple(path))
        sources.variables.pop(tuple(path), None)


def _usual_providers(environ: Mapping[str, str]) -> dict[str, Any]:
    begun = tuple(name for name in OTHER_PROVIDERS if _is_begun(name, environ))
    usual = DEFAULT_PROVIDERS | {name: OTHER_PROVIDERS[name] for name in begun}
    return {name: dict(provider) for name, provider in usual.items()}


def _is_begun(provider: str, environ: Mapping[str, str]) -> bool:
    (prefix,) = _variables(["providers", provider, ""])
    return any(variable.startswith(prefix) for variable in environ)


def _known_paths(tree: Tree) -> Iterator[list[str]]:
    for section in dataclasses.fields(Config):
        if section.name in SECTIONS:
            kind: Any = section.type
            yield from ([section.name, setting.name] for setting in dataclasses.fields(kind))
    providers = tree.get("providers")
    for name in [*(providers if isinstance(providers, dict) else {})]:
        yield from (
            ["providers", name, f.name] for f in dataclasses.fields(ProviderConfig) if f.name not in _UNSETTABLE
        )


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


def _validated(tree: Tree, environ: Mapping[str, str]) -> tuple[Config | None, list[Fault]]:
    config, found = None, []
    try:
        config = TypeAdapter(Config).validate_python(tree)
    except ValidationError as error:
        found = [plain(fault) for fault in error.errors(include_url=False)]
    told = {fault.place for fault in found}
    checked = [fault for check in CHECKS for fault in check(tree)] + list(_reference_faults(tree, environ))
    return config, [*found, *(fault for fault in checked if fault.place not in told)]


def _reference_faults(tree: Tree, environ: Mapping[str, str]) -> Iterator[Fault]:
    for place, written in secrets_in(tree):
        if written.startswith(REFERENCES) and (said := _unresolvable(written, environ)):
            yield Fault(place, said)
    providers = tree.get("providers")
    for name, provider in (providers if isinstance(providers, dict) else {}).items():
        for place, key in keys_of(provider):
            if not isinstance(key, str) or not key.startswith(REFERENCES):
                continue
            try:
                secret(key, environ)
            except ConfigError as error:
                yield Fault(("providers", name, *place), str(error))


def _unresolvable(reference: str, environ: Mapping[str, str]) -> str:
    try:
        secret(reference, environ)
    except ConfigError as error:
        return str(error)
    return ""


def _resolved(config: Config, environ: Mapping[str, str]) -> Config:
    providers = {
        name: dataclasses.replace(
            provider,
            name=name,
            base_url=provider.base_url.rstrip("/"),
            api_key=secret(provider.api_key, environ),
            api_keys=tuple(secret(key, environ) for key in provider.api_keys),
        )
        for name, provider in config.providers.items()
    }
    sections: dict[str, Any] = {}
    for name, setting in SECRETS:
        section = sections.get(name, getattr(config, name))
        read = secret(getattr(section, setting), environ)
        sections[name] = dataclasses.replace(section, **{setting: read})
    return dataclasses.replace(config, providers=providers, **sections)


def secret(reference: str, environ: Mapping[str, str]) -> str:
    """The secret behind `env:NAME` (or the file that `NAME_FILE` names) or `file:PATH`; '' for ''.

    Raises `ConfigError` that names the variable or the file, never the value.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name in environ:
            return environ[name].strip()
        if not name.isidentifier():
            raise ConfigError("what follows env: is not the name of a variable")  # it may be the key itself
        if f"{name}_FILE" not in environ:
            raise ConfigError(f"neither {name} nor {name}_FILE is set in the environment")
        name = environ[f"{name}_FILE"]
    if not name:
        return ""
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file {name} cannot be read ({type(error).__name__})") from error
