"""When the site is built: links lead somewhere, and nothing is loaded from afar."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}


class Page(HTMLParser):
    """The links, the identifiers and the loaded files of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.loaded, self.ids = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])
        if tag in LOADED and values.get(LOADED[tag]):
            self.loaded.add(values[LOADED[tag]])


def faults(folder: Path) -> list[str]:
    """A line for each link that leads nowhere and each file that is far away."""
    files = sorted(folder.rglob("*.html"))
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in files}
    return [
        f"{path.relative_to(folder.resolve())}: {fault}"
        for path, page in pages.items()
        for fault in faults_of(path, page, pages)
    ]


def faults_of(path: Path, page: Page, pages: dict[Path, Page]) -> list[str]:
    """Those of one page."""
    found = []
    for link in sorted(page.links | page.loaded):
        parts = urlsplit(link)
        if parts.scheme == "data":
            continue
        if parts.scheme or parts.netloc:
            found += [f"loads {link}"] if link in page.loaded else []
            continue
        there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not there.exists():
            found.append(f"{link} does not exist")
        elif parts.fragment and there in pages:
            if unquote(parts.fragment) not in pages[there].ids:
                found.append(f"{link} has no such place")
    return found


def check(app, exception) -> None:
    """Warn of every fault; with -W a warning is an error."""
    if exception is None and app.builder.name == "html":
        for fault in faults(Path(app.outdir)):
            logging.getLogger(__name__).warning(fault)


def setup(app):
    """Connect the check to the end of a build."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
