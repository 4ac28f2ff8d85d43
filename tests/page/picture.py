"""The README's picture of the page: `python -m tests.page.picture` writes docs/report.png from analysis/output."""

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.conftest import ROOT
from tests.page.conftest import chromium

PAGE, PICTURE = ROOT / "analysis" / "output" / "report.html", ROOT / "docs" / "report.png"


def draw(page: Path = PAGE, picture: Path = PICTURE) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 820}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.evaluate("async () => { await report.ready; await report.drawn; }")
        tab.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    draw()
