"""A real Chromium in front of the app."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"]
LIMIT_MS = 60_000


def chromium() -> str:
    """The browser's path; without one the test fails in CI and is skipped loudly elsewhere."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.fail("no Chromium: install one to run the browser tests")


@contextmanager
def opened(url: str, *, width: int = 1440, height: int = 1000, scheme: str = "light") -> Iterator[Page]:
    """The page at `url`, settled."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.set_default_timeout(LIMIT_MS)
        page.goto(url)
        settle(page)
        try:
            yield page
        finally:
            browser.close()


def settle(page: Page) -> None:
    """Wait until the app has run, and drawn what it had to say."""
    page.wait_for_selector(SETTLED)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
