"""Look at every page of site/ in a real browser: `make browser`.

Usage: python docs/check_site.py [--chromium PATH] [--screenshots FOLDER] [PAGE]...

At the widths of a desktop and a phone, in light and in dark colours, each page must load without
an error on its console, ask no other host for anything, not scroll sideways, and pass axe-core. The
exit code is 1 when something is found.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

SITE = Path(__file__).parents[1] / "site"

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

ARGUMENTS = [
    "--no-sandbox",  # the pages are our own, and in a container there is none
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Look(NamedTuple):
    """One way to look at a page."""

    size: str
    scheme: Literal["light", "dark"]

    def __str__(self) -> str:
        return f"{self.size}, {self.scheme}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def served() -> Iterator[str]:
    """Serve site/ on this machine; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(SITE)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def pages() -> list[str]:
    """Return every page there is; a sitemap would need the site's final address."""
    return sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))


def findings(page: Page, address: str, axe: Axe) -> list[str]:
    """Open a page and return what is wrong with it, one line each."""
    found: list[str] = []
    page.on("console", lambda m: found.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"script: {error}"))
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    page.on("request", lambda request: found.extend(_elsewhere(request.url)))
    page.goto(address, wait_until="load")
    page.evaluate("document.fonts.ready")
    widths = page.evaluate(
        "[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
    )
    if widths[0] > widths[1]:
        found.append(f"scrolls sideways: {widths[0]} pixels wide in {widths[1]}")
    for violation in axe.run(page).response["violations"]:
        found += _words(violation)
    return found


def _elsewhere(url: str) -> list[str]:
    parts = urlsplit(url)
    here = parts.scheme in ("data", "blob") or parts.hostname == "127.0.0.1"
    return [] if here else [f"asks another host: {url}"]


def _words(violation: dict[str, Any]) -> list[str]:
    nodes = violation["nodes"]
    shown = [" ".join(map(str, node["target"])) for node in nodes[:3]]
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    return [f"axe {violation['id']}: {violation['help']}: {'; '.join(shown)}{more}"]


def look(browser: Browser, way: Look, base: str, names: list[str], folder: Path | None) -> Any:
    """Yield each page's name with what is wrong with it, looked at in one way."""
    width, height = SIZES[way.size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=way.scheme,
        has_touch=way.size == "phone",
        reduced_motion="reduce",
    )
    for name in names:
        page = context.new_page()
        yield name, findings(page, f"{base}/{name}", Axe())
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            file = f"{name.removesuffix('.html').replace('/', '-')}-{way.size}-{way.scheme}.png"
            page.screenshot(path=str(folder / file))
        page.close()
    context.close()


def main() -> int:
    """Print a line for each page, what is wrong below it, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chromium", default="/usr/bin/chromium", metavar="PATH")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER")
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    given = parser.parse_args()
    names = given.pages or pages()
    if not names:
        print(f"there is no page in {SITE}: run make docs", file=sys.stderr)  # noqa: T201 - a script
        return 1
    found: dict[str, dict[str, list[Look]]] = {name: {} for name in names}
    with served() as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=given.chromium, args=ARGUMENTS)
        for way in (Look(size, scheme) for size in SIZES for scheme in SCHEMES):
            for name, lines in look(browser, way, base, names, given.screenshots):
                for line in lines:
                    found[name].setdefault(line, []).append(way)
        browser.close()
    return _report(found)


def _report(found: dict[str, dict[str, list[Look]]]) -> int:
    for name, lines in found.items():
        print(f"{'FAILED' if lines else 'ok':6} {name}")  # noqa: T201 - a script
        for line, ways in lines.items():
            seen = "all" if len(ways) == len(SIZES) * len(SCHEMES) else "; ".join(map(str, ways))
            print(f"       {line} ({seen})")  # noqa: T201 - a script
    count = sum(map(len, found.values()))
    print(f"{len(found)} pages, each in {len(SIZES) * len(SCHEMES)} ways: {count} findings")  # noqa: T201 - a script
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
