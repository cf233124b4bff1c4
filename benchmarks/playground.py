"""Measure the playground in Chromium: how soon the page is there, and how fast a live change runs.

    python benchmarks/playground.py [--times N] [--markdown]

The first paint is counted from the moment at which Voila, whose kernel is up then, sends the notebook's first cell,
until Chromium has laid out the page. Evaluations a second are those that the page itself knows of at the end of a slide
from 0.01 to 0.5: the first of its kernel, with all that is compiled then, and the pictures that are sent.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from chromium import CHROMIUM  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402
from served_playground import voila  # noqa: E402
from tables import write_row  # noqa: E402

PATIENCE = 300_000
#: Milliseconds since 1970 at which the page's root was in the document.
PAINTED = """
() => new Promise(resolve => {
    const isShown = () => document.querySelector('.nsfw-playground [data-part=tabs]')?.offsetWidth;
    const look = () => isShown() ? resolve(Date.now()) : requestAnimationFrame(look);
    look();
})
"""


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--markdown", action="store_true", help="write the table in Markdown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, voila(Path(folder)) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        rows = [measured(browser, address) for _ in range(arguments.times)]
        browser.close()
    names = ("kernel is up to first paint, s", "first paint to first score, s", "evaluations a second")
    write_row(["", f"median of {arguments.times}", "least", "most"], arguments.markdown, header=True, first=32)
    for name, values in zip(names, zip(*rows)):
        spread = (f"{value:.1f}" for value in (median(values), min(values), max(values)))
        write_row([name, *spread], arguments.markdown, first=32)
    return 0


def measured(browser: Browser, address: str) -> tuple[float, float, float]:
    """Seconds to the first paint and to the first score, and evaluations a second."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address, wait_until="commit")
    up = kernel_is_up(page)
    painted = page.evaluate(PAINTED)
    page.wait_for_selector(".nsfw-playground[data-ready=true]", timeout=PATIENCE)
    scored = page.evaluate("Date.now()")
    page.locator("[data-part=invert]").click()
    page.wait_for_function("document.querySelector('[data-part=inversion-facts]').textContent.includes('there')")
    rate = page.locator("[data-part=inversion-facts]").get_attribute("data-rate") or "nan"
    page.close()
    return (painted - up) / 1000, (scored - painted) / 1000, float(rate)


def kernel_is_up(page: Page) -> float:
    """Milliseconds since 1970 at which Voila, whose kernel is up, tells the page of its first cell."""
    page.wait_for_function("document.querySelector('[cell-index]')", polling=10)
    return page.evaluate("Date.now()")


if __name__ == "__main__":
    sys.exit(main())
