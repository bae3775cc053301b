"""The app in a real browser: what a visitor sees, in both themes, wide and on a phone."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.config import Config, StoreConfig
from data.records import record_table
from data.serving import RunningStore
from data.store import connect
from tests.app.conftest import limits, requests
from tests.engine.receivers import free_port

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ROOT = Path(__file__).parents[2]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The app, started as anybody starts it, on a store with two weeks of requests."""
    home = Path(tempfile.mkdtemp(prefix="store-"))
    store = RunningStore(Config(home=home, store=StoreConfig(memory_limit="512MB", threads=2)))
    records = requests(datetime.now(UTC))
    with_records = connect(Config(home=home))
    with_records.put(record_table(records), spool_id="s", first=0, last=len(records) - 1)
    with_records.transact([limits(datetime.now(UTC))])
    with_records.close()
    port = free_port()
    ours = {"CLAUDE_PROXY_HOME": str(home), "CLAUDE_PROXY_PROXY_PORT": "1", "CLAUDE_PROXY_WORKER_PORT": "2"}
    command = [sys.executable, "-m", "streamlit", "run", "app", "--server.port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as app:
        for line in app.stdout:
            if "URL:" in line:
                break
        reader = threading.Thread(target=app.stdout.read)  # so that what it logs never fills the pipe
        reader.start()
        yield f"http://127.0.0.1:{port}"
        app.terminate()
        app.wait(30)
        reader.join(30)
    store.stop()
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(address, browser) -> Iterator[Callable[..., object]]:
    """Opens pages in the browser; fails when a page asks any other machine for anything."""
    strangers: list[str] = []
    windows = []

    def opened(path: str, *, width: int = 1440, scheme: str = "light"):
        screen = {"width": width, "height": 900}
        windows.append(browser.new_context(viewport=screen, color_scheme=scheme, timezone_id="Europe/Berlin"))
        page = windows[-1].new_page()
        page.on("request", lambda asked: strangers.append(asked.url) if _strange(asked.url) else None)
        page.goto(address + path)
        page.wait_for_selector(READY, timeout=60_000)
        return page

    def _strange(url: str) -> bool:
        return not url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))

    yield opened
    for window in windows:
        window.close()
    assert strangers == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("path", ["/", "/explore?compare=yes&metrics=cost&metrics=latency_p95"])
def test_a_page_fits_its_screen_and_draws_its_picture(visit, path, width, scheme):
    page = visit(path, width=width, scheme=scheme)
    page.wait_for_selector(".js-plotly-plot .ytick")
    assert page.get_by_text("Something went wrong").count() == 0
    room = page.evaluate(
        "() => { const e = document.querySelector('[data-testid=stMain]'); return e.scrollWidth - e.clientWidth }"
    )
    assert room <= 0
    shown = page.evaluate("() => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme")
    assert shown == scheme


def test_the_page_speaks_the_fonts_it_brings_along(visit):
    page = visit("/")
    assert page.evaluate("async () => { await document.fonts.ready; return document.fonts.check('16px Inter') }")


def test_a_choice_is_in_the_address_and_goes_along_to_the_other_page_and_back(visit):
    page = visit("/explore?by=team&tz=Asia/Tokyo")
    page.get_by_role("radio", name="30d").click()
    page.wait_for_url("**range=30d**")
    page.get_by_role("link", name="Overview").click()
    page.wait_for_selector(".card")
    page.wait_for_url("**range=30d**")
    assert "by=team" not in page.url
    page.get_by_role("link", name="Explore").click()
    page.wait_for_url("**by=team**")
    page.get_by_text("(Asia/Tokyo)").first.wait_for()


def test_a_filter_is_chosen_from_the_values_there_are(visit):
    page = visit("/explore")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Provider").first.click()
    page.get_by_role("option", name="openai").click()
    page.wait_for_url("**provider=openai**")
    page.get_by_text("where provider is openai").wait_for()


def test_a_providers_limit_is_chosen_and_filtered_by_what_it_has(visit):
    page = visit("/explore")
    page.locator(".st-key-metrics input").fill("Provider limit")
    page.get_by_role("option", name="Provider limit used").click()
    page.get_by_text("Provider limit used by limit").first.wait_for()
    page.keyboard.press("Escape")
    assert "metrics=provider_limit_used" in page.url
    assert page.get_by_text("Something went wrong").count() == 0
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Credential").first.wait_for()
    assert page.get_by_label("Model").count() == 0
    page.locator(".st-key-limit input").click()
    page.get_by_role("option", name="tokens").click()
    page.wait_for_url("**limit=tokens**")
    page.get_by_text("where limit is tokens").wait_for()


def test_the_totals_are_downloaded_with_range_and_zone_in_their_name(visit):
    page = visit("/explore?by=model&range=7d")
    with page.expect_download() as waiting:
        page.locator(".st-key-download-totals-csv button").first.click()
    file = waiting.value
    assert file.suggested_filename.startswith("cost-by-model-totals_")
    assert file.suggested_filename.endswith("_Europe-Berlin.csv")
    lines = Path(file.path()).read_text().splitlines()
    assert lines[0] == "model,cost"
    assert len(lines) == 4


def test_the_launcher_answers_its_health_address(address):
    with urllib.request.urlopen(f"{address}/_stcore/health", timeout=60) as answer:
        assert answer.status == 200
