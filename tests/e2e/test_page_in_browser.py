"""The page in a real browser: it opens offline, plays clips, filters, and its map lists neighbours."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.fakes.store import FakeVideoStore
from tests.pages import sample_page
from vimix_adapters.reports.page.page import write_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""A browser of the system; else the one that ``playwright install chromium`` downloads."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        if CHROMIUM is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("no Chromium: install one, or run playwright install chromium")
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses root
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if root else [])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(sample_page(FakeVideoStore(count=24, length=20, size=(48, 64))), path)
    return path


@pytest.fixture
def opened(browser, file):
    """The page, opened offline in a desktop's window; at the end it has neither failed nor asked for anything."""
    faults, asked = [], []
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    yield page
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    context.close()


def tiles(page) -> list[str]:
    return page.locator("#g-list .query-row").all_inner_texts()


def test_a_clip_plays_when_it_is_pressed_and_stops_when_it_is_pressed_again(opened) -> None:
    clip = opened.locator("#g-list button.clip").first
    clip.scroll_into_view_if_needed()
    opened.wait_for_selector("#g-list canvas[data-drawn]")
    still = clip.screenshot()
    clip.focus()
    opened.keyboard.press("Enter")
    assert clip.get_attribute("aria-pressed") == "true"
    seen = set()
    for _ in range(8):
        seen.add(clip.screenshot())
        opened.wait_for_timeout(150)
    assert len(seen - {still}) > 1
    opened.keyboard.press("Enter")
    assert clip.locator("img").count() == 0


def test_filters_filter(opened, file) -> None:
    numbers = json.loads(file.with_suffix(".json").read_text())
    shown = next(g for g in numbers["galleries"] if (g["arm"], g["modality"]) == ("Vi-Mix", "rgb + flow"))
    assert len(tiles(opened)) == len(shown["results"])
    opened.select_option("#g-class", "bow")
    wanted = [result for result in shown["results"] if result["class_name"] == "bow"]
    assert len(tiles(opened)) == len(wanted) > 0
    opened.select_option("#g-class", "")
    opened.select_option("#g-right", "wrong")
    assert len(tiles(opened)) == sum(not result["neighbours"][0]["right"] for result in shown["results"])
    opened.select_option("#g-right", "")
    opened.select_option("#g-beside", "MoCo")
    assert opened.locator("#g-list .arm-name").all_inner_texts()[:2] == ["Vi-Mix", "MoCo"]
    assert len(tiles(opened)) == 2 * len(shown["results"])
    lines = opened.locator("#training polyline[data-arm]:not(.off)")
    before = lines.count()
    opened.locator("#t-filters").get_by_role("checkbox", name="MoCo").uncheck()
    assert 0 < lines.count() < before
    rows = opened.locator("#overview tr[data-arm]:visible")
    assert "MoCo" in "".join(rows.all_inner_texts())
    opened.locator("#o-filters").get_by_role("checkbox", name="MoCo").uncheck()
    assert all(not text.startswith("MoCo") for text in rows.all_inner_texts())
    assert rows.count() > 0


def test_the_map_lists_the_neighbours_of_a_chosen_video(opened, file) -> None:
    numbers = json.loads(file.with_suffix(".json").read_text())
    shown = next(m for m in numbers["maps"] if (m["arm"], m["modality"]) == ("Vi-Mix", "rgb"))
    opened.select_option("#m-video", "3")
    names = opened.locator("#m-neighbours figcaption .how").all_inner_texts()
    assert names == [numbers["videos"][number]["name"] for number in shown["neighbours"][3]]
    canvas = opened.locator("#m-points")
    canvas.evaluate("canvas => canvas.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = canvas.bounding_box()
    x, y = shown["points"][5]
    place = {"x": box["width"] * (20 + x * 860) / 900, "y": box["height"] * (20 + (1 - y) * 635) / 675}
    canvas.click(position=place)
    assert opened.locator("#m-chosen h3").inner_text() == numbers["videos"][shown["videos"][5]]["name"]
    canvas.evaluate("canvas => canvas.scrollIntoView({ block: 'center', behavior: 'instant' })")
    box = canvas.bounding_box()
    edge = 10  # the corners of the canvas are round
    for number, (right, down) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))):
        across, along = box["width"] - 2 * edge, box["height"] - 2 * edge
        opened.mouse.move(box["x"] + edge + right * across, box["y"] + edge + down * along, steps=4)
        if number == 0:
            opened.mouse.down()
    opened.mouse.up()
    assert opened.locator("#m-chosen h3").inner_text() == f"{len(shown['points'])} videos"


@pytest.mark.parametrize("width", [360, 1200], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_window(browser, file, width, scheme) -> None:
    context = browser.new_context(offline=True, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    context.close()
