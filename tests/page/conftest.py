"""The page of the committed records in a real browser without a network, which `make test-page` runs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from analysis.program import main
from tests.conftest import ROOT

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
pytestmark = pytest.mark.page


def chromium() -> str:
    """The path of a Chromium; Debian's is installed where there is none. Skips where it cannot be had."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("there is no Chromium, and installing it takes root and apt-get; CHROMIUM names one")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"apt-get {command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return shutil.which("chromium")


@dataclass
class Opened:
    """The page in a tab. said: what it wrote to the console or raised; asked: what it loaded but itself."""

    tab: Page
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))

    def go(self, place: str = "") -> Page:
        """Open a place of the page, as `/explorer?board=real`, and wait until all of it is drawn."""
        self.tab.goto("about:blank")
        self.tab.goto(f"{self.address}#{place}" if place else self.address)
        self.settle()
        return self.tab

    def settle(self) -> None:
        self.tab.evaluate("async () => { await report.ready; await report.drawn; }")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def file(tmp_path_factory) -> Path:
    """The page of the committed records."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", "--runs", str(ROOT / "runs"), "--out", str(path)]) == 0
    return path


@pytest.fixture
def page(browser, file) -> Iterator[Opened]:
    """In a window of 1400 x 1000. At the end it has loaded nothing, and said nothing."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, offline=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = Opened(context.new_page(), file.as_uri())
    yield opened
    said, asked = opened.said, [url for url in opened.asked if not url.startswith((opened.address, "about:"))]
    context.close()
    assert (said, asked) == ([], [])
