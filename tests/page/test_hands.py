"""The page without a mouse, without a clipboard, and on paper."""

import re

import pytest

pytestmark = pytest.mark.page

FOCUSED = "() => { const { activeElement: at } = document; return [at.tagName, at.id, at.className, at.innerText]; }"
SECTIONS = ("overview", "explorer?board=real", "versus", "pareto?board=real", "paper", "cost", "methods")
ON_PAPER = """() => [...document.querySelectorAll("main *")].filter((node) => {
  const box = node.getBoundingClientRect();
  return box.width && box.height && box.right > innerWidth + 1 && !node.closest(".unseen");
}).map((node) => `${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`).slice(0, 3)"""


def walk(tab, until: str, most: int = 200) -> list[list[str]]:
    """What has the focus after each press of Tab, until it fits the selector."""
    seen = []
    for _ in range(most):
        tab.keyboard.press("Tab")
        seen.append(tab.evaluate(FOCUSED))
        if tab.evaluate("(selector) => document.activeElement.matches(selector)", until):
            return seen
    raise AssertionError(f"nothing that fits {until} within {most} presses: {seen[-3:]}")


def test_a_number_is_opened_and_closed_by_keys_alone_and_the_focus_comes_back(page):
    tab = page.go("/explorer?board=real")
    seen = walk(tab, "#explorer a.open")
    assert seen[0][1] == "skip"
    label = tab.evaluate("document.activeElement.closest('tr').firstChild.innerText")
    tab.keyboard.press("Enter")
    page.settle()
    assert tab.locator("#drill h2").inner_text().strip() == label.strip()
    assert tab.evaluate("document.querySelector('#drill').contains(document.activeElement)")
    walk(tab, "#drill [role=tab]", 20)
    tab.keyboard.press("Escape")
    page.settle()
    assert not tab.locator("#drill").is_visible()
    assert tab.evaluate("document.activeElement.matches('#explorer a.open')")
    assert tab.evaluate("document.activeElement.closest('tr').firstChild.innerText") == label


def test_a_table_is_sorted_and_a_reference_chosen_by_keys_alone(page):
    tab = page.go("/explorer?board=real")
    walk(tab, "#explorer-ref")
    before = tab.locator("#explorer").inner_text()
    tab.keyboard.type("Head")
    page.settle()
    assert tab.locator("#explorer").inner_text() != before
    assert tab.evaluate("document.activeElement.id") == "explorer-ref"
    walk(tab, "button.head[id$=trained]")
    tab.keyboard.press("Enter")
    page.settle()
    assert tab.locator("#explorer th[aria-sort=descending]").inner_text().startswith("Trained")
    assert tab.evaluate("document.activeElement.id").endswith("trained")


def test_what_has_the_focus_can_be_seen(page):
    tab = page.go("/overview")
    for _ in range(40):
        tab.keyboard.press("Tab")
        tab.wait_for_timeout(20)
        seen = tab.evaluate(
            """() => {
              const { activeElement: at } = document;
              const box = at.getClientRects()[0];
              const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
              return at.contains(top);
            }"""
        )
        assert seen, tab.evaluate(FOCUSED)


def test_where_the_clipboard_is_denied_the_text_is_shown_and_selected(browser, file):
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject(new DOMException('denied', 'NotAllowedError'))"
    )
    tab.goto(f"{file.as_uri()}#/explorer?board=real")
    tab.evaluate("async () => { await report.ready; await report.drawn; }")
    tab.get_by_role("button", name="Markdown").first.click()
    area = tab.locator("#copied textarea")
    area.wait_for()
    assert area.input_value() == tab.evaluate("report.copied")
    assert tab.evaluate("document.activeElement.selectionEnd") == len(area.input_value())
    tab.keyboard.press("Escape")
    assert not tab.locator("#copied").is_visible()
    context.close()


@pytest.mark.parametrize("place", SECTIONS)
def test_nothing_is_cut_off_on_paper(page, place):
    tab = page.go(f"/{place}")
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 1047, "height": 718})  # A4, landscape, between margins of a centimetre
    page.settle()
    assert tab.evaluate(ON_PAPER) == []
    assert not re.search(r"undefined|\bNaN\b", tab.locator("main").inner_text())
