"""`python -m proxy.simulated` as a supervisor sees it."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_serves_and_stops_cleanly(number):
    command = (sys.executable, "-m", "proxy.simulated", "--port", "0", "--seed", "7", "--speed", "0")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said, _, url = process.stdout.readline().strip().rpartition(" ")
        with urllib.request.urlopen(f"{url}/simulated/totals", timeout=60) as answer:
            totals = json.load(answer)
        process.send_signal(number)
        rest = process.stdout.read()
    assert said == "simulated provider ready"
    assert totals["requests"] == 0
    assert (process.returncode, rest) == (0, "")


def test_a_setting_that_does_not_exist_is_told(tmp_path):
    command = (sys.executable, "-m", "proxy.simulated", "--hang-rate", "often")
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "--hang-rate" in ended.stderr
