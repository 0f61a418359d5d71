#!/usr/bin/env python3
"""test/prose/links.py

Fails where a page links to a file that is not in the tree, or to a heading that
its page does not have: in every .md file that git knows of, or, where there is no
git, that is there.  Addresses of other hosts are not asked for.

Headings get their anchors as GitHub makes them.
"""
import functools
import pathlib
import re
import subprocess
import sys

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()\s]*\))?)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)
LEFT_OUT = {"node_modules", "check-output", "matrix-output", "dist", "results"}


def pages():
    """The .md files, by git if this is its tree."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"],
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [pathlib.Path(name) for name in listed.stdout.split("\n") if name and pathlib.Path(name).exists()]
    return [page for page in sorted(pathlib.Path().rglob("*.md")) if not LEFT_OUT & set(page.parts)]


def prose(page):
    """The lines of a page with their numbers, without blocks of code."""
    fence = None
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), 1):
        mark = re.match(r" *(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark.group(1)
        elif mark and line.strip() == fence:
            fence = None
        elif fence is None:
            yield number, line


@functools.cache
def anchors(page):
    """What can stand after the # of a link to the page."""
    known = set()
    for _, line in prose(page):
        heading = re.match(r"#{1,6} +(.*?) *#* *$", line)
        if not heading:
            continue
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1))
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        anchor, again = slug, 0
        while anchor in known:
            again += 1
            anchor = f"{slug}-{again}"
        known.add(anchor)
    return known


def fault(page, link):
    """What is wrong with a link of the page, or None."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists():
        return "there is no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "the page has no such heading"
    return None


def main():
    count = faults = 0
    for page in pages():
        for number, line in prose(page):
            for link in LINK.findall(re.sub(r"`[^`]*`", lambda code: "x" * len(code.group(0)), line)):
                if ELSEWHERE.match(link) or link.startswith("//"):
                    continue
                count += 1
                why = fault(page, link)
                if why:
                    faults += 1
                    print(f"{page}:{number}: {link}: {why}")
    print(f"{count} links")
    return 1 if faults or count < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
