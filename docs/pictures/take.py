"""Take the README's pictures from a running head-end.

Example: .venv/bin/python docs/pictures/take.py --url http://127.0.0.1:8080 --out docs/pictures/

Chromium is /usr/bin/chromium (`--chromium` names another). A server that does not listen on
loopback needs `--token-file`. The pictures show what the server shows: start `ohmesh demo --serve`
before and wait until its fleet has reported.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as BrowserError

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
)


@dataclass(frozen=True)
class Picture:
    """One page in one scheme; `wait` must be on the page before it is taken."""

    name: str
    path: str
    scheme: str
    wait: str
    height_px: int
    width_px: int = 1440


PICTURES = (
    Picture("dashboard", "/", "light", "om-chart[data-ready] canvas", 944),
    Picture("dashboard-dark", "/", "dark", "om-chart[data-ready] canvas", 944),
    Picture("mesh", "/mesh", "light", "#mesh .dot", 680),
    Picture("meter", "/meters/M0001", "light", "om-chart[data-ready] canvas", 944),
    Picture("phone", "/", "dark", "om-chart[data-ready] canvas", 844, width_px=390),
)
WAIT_MS = 20_000


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    return parser.parse_args()


def take(browser: Browser, picture: Picture, options: argparse.Namespace) -> Path:
    """Take one picture and give back its file."""
    context = browser.new_context(
        viewport={"width": picture.width_px, "height": picture.height_px},
        color_scheme=picture.scheme,
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    if options.token_file:
        page.goto(f"{options.url}/login")
        page.fill("#token", options.token_file.read_text().strip())
        with page.expect_navigation():
            page.press("#token", "Enter")
    page.goto(options.url + picture.path)
    page.wait_for_selector(picture.wait)
    page.wait_for_selector('#pulse[data-state="live"]')
    file = options.out / f"{picture.name}.png"
    page.screenshot(path=file)
    context.close()
    return file


def main() -> int:
    """Take all pictures; 1 when the server or the browser does not do its part."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=options.chromium, args=list(ARGUMENTS)
            )
            for picture in PICTURES:
                print(take(browser, picture, options))
            browser.close()
        except BrowserError as error:
            print(f"take.py: {error.message.splitlines()[0]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
