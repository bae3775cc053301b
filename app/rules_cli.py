"""`claude-proxy rules`: what is stored, tests from files, and rules out of the store into files and back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
import yaml

from app.command_options import ConfigFile, Home
from data.client import FlightStore
from data.config import Config
from data.queries.rule_filter import RuleFilter
from data.settings import load
from data.store import connect, ensure_running
from engine import provisioning, rule_files, rule_templates, rule_transfer, rules, scenario, scenario_run, unique_yaml
from engine.errors import Fault, RuleError
from engine.rule import Severity
from engine.rule_files import Draft
from engine.state import State

rules_app = typer.Typer(no_args_is_help=True, help="Alert rules.")


@rules_app.command("list")
def listing(
    *,
    severity: Annotated[list[Severity] | None, typer.Option(help="Only of this severity; repeated: of these.")] = None,
    state: Annotated[list[State] | None, typer.Option(help="Only those in this state; repeated: in these.")] = None,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """The rules: state, severity, id and name of each, and below what it says."""
    config, store = _opened(home, config_file)
    for rule in rules.page(store, RuleFilter(severity=tuple(severity or ()), state=tuple(state or ()))):
        provided = f" (from {rule.provisioned_from})" if rule.provisioned_from else ""
        typer.echo(f"{rule.state:<10} {rule.severity:<8} {rule.id} {rule.name}{provided}")
        typer.echo(f"{'':<20} {rule.sentence or rule.fault}")
    for fault in provisioning.look(config.rules_folder).faults:
        typer.echo(f"fault      {fault}", err=True)


@rules_app.command("test")
def test(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Scenarios in YAML.")],
) -> None:
    """Hold rules to what is expected of them, over made-up values; nothing is read, stored or sent."""
    passed = [ok for file in files for ok in _tested(file)]
    failed = passed.count(False)
    typer.echo(f"{_counted(len(passed), 'check')} in {_counted(len(files), 'file')}: {failed or 'none'} failed")
    raise typer.Exit(1 if failed else 0)


def _tested(file: Path) -> Iterator[bool]:
    """Run a file's scenarios and say what came of each check; each faulty document is one that failed."""
    try:
        for one in scenario.read_file(file):
            of = f"{file.name} {one.name}: " if one.name else f"{file.name} "
            for check in scenario_run.run(one):
                expected = "" if check.passed else f", expected {check.expected}"
                typer.echo(f"{'ok' if check.passed else 'FAILED':<7} {of}{check.what}: {check.found}{expected}")
                yield check.passed
    except RuleError as error:
        for fault in error.faults:
            place = fault.path if fault.path.startswith(file.name) else f"{file.name} {fault.path}"
            typer.echo(f"FAILED  {place}: {fault.message}")
        for _ in {fault.path.partition(" ")[0] for fault in error.faults}:
            yield False


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


@rules_app.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="One file for all.", show_default="standard output")] = None,
    *,
    folder: Annotated[Path | None, typer.Option("--dir", file_okay=False, help="A file a rule in this folder.")] = None,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Write the rules as YAML."""
    stored = rules.every(_store(home, config_file))
    found = [rule for rule in stored if not rule.fault]
    for line in rule_transfer.unreadable(stored):
        typer.echo(f"left out: {line}", err=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rule in zip(_names([rule.name for rule in found]), found, strict=True):
            (folder / name).write_text(rule_transfer.one(rule), encoding="utf-8")
    elif file is not None:
        file.write_text(rule_transfer.export(stored), encoding="utf-8")
    else:
        typer.echo(rule_transfer.export(stored), nl=False)
        return
    typer.echo(f"{len(found)} rules written to {folder or file}")


@rules_app.command("import")
def bring(
    sources: Annotated[list[Path], typer.Argument(exists=True, help="YAML files, or folders of them.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Create rules, or change those of the same names, from YAML: all of them or none."""
    drafts = _drafts(sources)
    done = rule_transfer.bring(_store(home, config_file), drafts, by="import", dry_run=dry_run)
    for one in done:
        typer.echo(f"{'would be ' if dry_run else ''}{one.fate} {one.name} ({one.place})")
    if not done:
        typer.echo("there is no rule in what was given")


@rules_app.command("templates")
def library(name: Annotated[str, typer.Argument(help="One template.", show_default="all of them")] = "") -> None:
    """Ready rules for what usually goes wrong; with a name, one of them with its parameters."""
    if not name:
        for template in rule_templates.every():
            typer.echo(f"{template.category:<10} {template.name:<18} {template.description}")
        return
    template = rule_templates.get(name)
    typer.echo(f"{template.title}\n\n{template.sentence()}\n\n{template.why}\n")
    for parameter, said in template.parameters.items():
        given = "required" if said.required else f"default {said.default!r}"
        typer.echo(f"  {parameter:<12} {said.text} ({given})")


@rules_app.command("add")
def add(
    template: Annotated[str, typer.Argument(help="One of `rules templates`.")],
    *,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ] = None,
    home: Home = None,
    config_file: ConfigFile = None,
) -> None:
    """Add a rule from a template."""
    rule = rule_templates.get(template).made(dict(_setting(text) for text in values or ()))
    made = rules.save(_store(home, config_file), rule, by="rules add")
    typer.echo(f"{made.id} {made.name}\n{made.sentence}")


def _setting(text: str) -> tuple[str, object]:
    """`budget=core` as a name and a value, which is read as YAML: `80` is a number, `[a, b]` a list."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"write NAME=VALUE, not {text!r}", param_hint="--set")
    try:
        return name, unique_yaml.load(value)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"{name} has no value that can be read: {value!r}", param_hint="--set") from error


def _drafts(sources: list[Path]) -> list[Draft]:
    """All rules of all files; a RuleError tells the faults of all of them."""
    drafts: list[Draft] = []
    faults: list[Fault] = []
    for path in (path for source in sources for path in (rule_files.files(source) if source.is_dir() else [source])):
        try:
            drafts += rule_files.read_file(path, path.name)
        except RuleError as error:
            faults += error.faults
    if faults:
        raise RuleError(faults)
    return drafts


def _names(rules: list[str]) -> list[str]:
    """A file name for each, all different."""
    taken: dict[str, int] = {}
    names = []
    for name in map(rule_files.file_name, rules):
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else name.replace(".yaml", f"-{taken[name]}.yaml"))
    return names


def _store(home: Path | None, config_file: Path | None) -> FlightStore:
    return _opened(home, config_file)[1]


def _opened(home: Path | None, config_file: Path | None) -> tuple[Config, FlightStore]:
    config = load(config_file=config_file, overrides={} if home is None else {"home": str(home)})
    ensure_running(config)
    return config, connect(config)
