"""`python -m tests.benchmarks [NAME …]`: run the benchmarks one after another and print their figures.

Each is a program of its own (`python -m tests.benchmarks.bench_query`), whose docstring says what it measures and
what it should reach. They want a machine that does nothing else.
"""
# ruff: noqa: T201 - it prints

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Run the benchmarks named, or all; how many failed."""
    names = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    if unknown := set(wanted) - set(names):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}", file=sys.stderr)
        return 1
    failed = 0
    for name in wanted or names:
        print(f"\n== {name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"tests.benchmarks.bench_{name}"], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
