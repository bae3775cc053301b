"""What can be wrong with routes, aliases and tiers: unknown providers, and names that lead back to themselves."""

from collections.abc import Collection, Iterator
from typing import Any

from data.faults import Fault, Place, Tree, tables


def route_faults(tree: Tree) -> Iterator[Fault]:
    """The faults of everything that says where calls go."""
    known = _names(tree, "providers")
    yield from listed_route_faults(tree, known)
    yield from _alias_faults(tree)
    yield from _named_place_faults(tree, known)


def listed_route_faults(tree: Tree, known: Collection[str]) -> Iterator[Fault]:
    """The faults of the `routes` alone, a configuration's or a virtual key's, whose providers are among `known`."""
    for index, route in tables(tree, "routes"):
        place: Place = ("routes", index)
        yield from _choice_faults(route, place)
        for at, target in _targets(route):
            yield from _provider_fault(target.get("provider"), (*place, *at, "provider"), known)


def _choice_faults(route: Tree, place: Place) -> Iterator[Fault]:
    if not (route.get("provider") or route.get("targets")):
        yield Fault((*place, "provider"), "is missing")
    if route.get("targets") and (route.get("provider") or route.get("send_model")):
        yield Fault((*place, "targets"), "write either a provider or several targets")


def _targets(route: Tree) -> Iterator[tuple[Place, Tree]]:
    if route.get("provider"):
        yield (), route
    yield from ((("targets", at), target) for at, target in tables(route, "targets"))
    fallbacks = route.get("fallbacks")
    lists = fallbacks if isinstance(fallbacks, dict) else {}
    for kind in lists:
        yield from ((("fallbacks", kind, at), target) for at, target in tables(lists, kind))


def _provider_fault(named: Any, place: Place, known: Collection[str]) -> Iterator[Fault]:
    if isinstance(named, str) and named not in known:
        yield Fault(place, f"no provider {named!r} (known: {', '.join(known) or 'none is configured'})")


def _alias_faults(tree: Tree) -> Iterator[Fault]:
    found = tree.get("aliases")
    aliases = found if isinstance(found, dict) else {}
    for name in aliases:
        seen, at = [name], aliases.get(name)
        while isinstance(at, str) and at in aliases:
            if at in seen:
                yield Fault(("aliases", name), f"leads back to itself ({' → '.join([*seen, at])})")
                break
            seen.append(at)
            at = aliases[at]


def _named_place_faults(tree: Tree, known: list[str]) -> Iterator[Fault]:
    """A name with a provider before its slash; without one it is a model whose name has a slash in it."""
    tiers = tree.get("tiers")
    for name, value in tiers.items() if isinstance(tiers, dict) else ():
        if isinstance(value, str) and value.startswith("/"):
            yield Fault(("tiers", name), f"names no provider before the slash (known: {', '.join(known)})")


def _names(tree: Tree, section: str) -> list[str]:
    found = tree.get(section)
    return list(found) if isinstance(found, dict) else []
