"""Keeps the programs that serve nobody's browser small and quick to start."""

import sys
from importlib.abc import MetaPathFinder


class _WithoutPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)


def without_pandas() -> None:
    """Make this process one that has no pandas.

    DuckDB and Arrow import it only to recognise its types, of which none occur here; it costs a second and 60 MB.
    """
    sys.meta_path.insert(0, _WithoutPandas())
