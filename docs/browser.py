"""Looks at each page of the built site in Chromium, and fails on what a reader would meet.

    python docs/browser.py SITE [--pictures FOLDER [PAGE ...]]

A fault is a console error or warning, a request to another host, a missing file, a page wider than
its window (at 1,280 and 400 pixels, light and dark), a formula or a line of Python that is cut off
at 1,280, a playground that stays empty, and a search that does not find `nesterov_eval_params`.

The browser is $CHROMIUM, or the first of chromium, chromium-browser and google-chrome. Root
installs one where there is none. Where none can be had, the check fails, or passes with
WITHOUT_BROWSER=skip.
"""

import argparse
import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WIDTHS, SCHEMES = (1280, 400), ("light", "dark")
BROWSERS = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def served(site: Path) -> str:
    handler = functools.partial(Quiet, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def chromium() -> str | None:
    """The browser's path; a shim that only says how to install one is none."""
    for name in filter(None, [os.environ.get("CHROMIUM"), *BROWSERS]):
        path = shutil.which(name)
        if path and not subprocess.run([path, "--version"], capture_output=True).returncode:
            return path
    return None


def install() -> None:
    if os.geteuid() or not shutil.which("apt-get"):
        return
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with contextlib.suppress(subprocess.TimeoutExpired):  # without a network it tries for long
        for command in ("update", "install --yes --no-install-recommends chromium"):
            arguments = ["apt-get", "--quiet=2", *command.split()]
            subprocess.run(arguments, capture_output=True, timeout=240, env=quiet)


def watched(page: Page, host: str) -> list[str]:
    """A list that gathers what goes wrong on the page."""
    faults: list[str] = []
    page.on("console", lambda m: m.type in ("error", "warning") and faults.append(m.text))
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.on("request", lambda r: r.url.startswith((host, "data:")) or faults.append(r.url))
    page.on("response", lambda r: r.status < 400 or faults.append(f"{r.status} {r.url}"))
    return faults


CUT = """[...document.querySelectorAll(".katex-display .katex-html, div.highlight-python pre")]
  .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText.slice(0, 60))"""


def layouts(page: Page, picture: str | None) -> Iterator[str]:
    """Faults of a loaded page at each width in each scheme, without loading it again."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(60)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                yield f"{wide} pixels too wide at {width}"
            if width == WIDTHS[0] and scheme == SCHEMES[0]:
                yield from (f"cut off at {width}: {text!r}" for text in page.evaluate(CUT))
            if picture:
                page.screenshot(path=f"{picture}-{width}-{scheme}.png", full_page=True)


def playgrounds(page: Page) -> Iterator[str]:
    """Faults of the frames in a page: each draws, and an arrow key moves its start."""
    for frame in page.frames[1:]:
        plane = frame.locator("canvas").first
        plane.scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        before = plane.evaluate("canvas => canvas.toDataURL()"), frame.url
        blank = plane.evaluate(
            """canvas => Object.assign(document.createElement("canvas"),
                { width: canvas.width, height: canvas.height }).toDataURL()"""
        )
        if before[0] == blank:
            yield f"{frame.url} is empty"
        plane.press("ArrowRight")
        page.wait_for_timeout(200)
        if (plane.evaluate("canvas => canvas.toDataURL()"), frame.url) == before:
            yield f"{frame.url} does not move"


def search(page: Page, host: str) -> Iterator[str]:
    page.goto(host + "search.html?q=nesterov_eval_params")
    page.wait_for_selector("#search-results li a")
    first = page.inner_text("#search-results li a >> nth=0")
    if "nesterov_eval_params" not in first:
        yield f"the search finds {first} first"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("site", type=Path, help="the folder that make docs leaves")
    parser.add_argument(
        "--pictures",
        nargs="+",
        default=[None],
        metavar=("FOLDER", "PAGE"),
        help="keep a picture of each PAGE, such as learn/adam.html, in each layout",
    )
    args = parser.parse_args()
    names = sorted(p.relative_to(args.site).as_posix() for p in args.site.rglob("*.html"))
    if not names:
        parser.error(f"no page in {args.site}: run make docs first")
    if not (browser := chromium()):
        install()
        browser = chromium()
    if not browser:
        print("NOT CHECKED: the site in a browser. Install Chromium, or name one in CHROMIUM.")
        raise SystemExit(os.environ.get("WITHOUT_BROWSER") != "skip")

    folder, *pictured = args.pictures
    host, faults = served(args.site), []
    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=browser, args=root)
        for name in names:
            page = opened.new_page()
            seen = watched(page, host)
            page.goto(host + name, wait_until="load")
            picture = f"{folder}/{name[:-5].replace('/', '-')}" if name in pictured else None
            found = [*layouts(page, picture), *playgrounds(page), *seen]
            faults += [f"{name}: {fault}" for fault in found]
            page.close()
        page = opened.new_page()
        seen = watched(page, host)
        faults += [*search(page, host), *seen]
        opened.close()
    print(*faults, f"{len(names)} pages, {len(faults)} faults", sep="\n")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
