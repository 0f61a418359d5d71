#!/usr/bin/env python3
"""scripts/site/check.py SITE

Follows each link of each page of a rendered site: the file has to be there, and the
element that an anchor names.  Other hosts are not asked, but a page may load nothing
from them.
"""
import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """What a page links to, loads, and can be linked by."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.loads.append(given["href"])
        elif given.get("src"):
            self.loads.append(given["src"])


def fault(site, pages, path, address):
    """What is wrong with an address on a page, or None."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    name = urllib.parse.unquote(parts.path)
    target = path
    if name:
        target = (site / name.lstrip("/") if name.startswith("/") else path.parent / name).resolve()
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file():
        return "there is no such file"
    anchor = urllib.parse.unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "the page has no such anchor"
    return None


def main(site):
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    count, faults = 0, []
    for path, page in pages.items():
        for address in page.loads:
            if urllib.parse.urlsplit(address).netloc:
                faults.append(f"{path.relative_to(site)} loads {address} from another host")
        for address in page.links + page.loads:
            count += 1
            why = fault(site, pages, path, address)
            if why:
                faults.append(f"{path.relative_to(site)}: {address}: {why}")
    print("\n".join(faults + [f"{len(pages)} pages, {count} links"]))
    return 1 if faults or len(pages) < 20 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
