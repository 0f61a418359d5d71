#!/usr/bin/env python3
"""scripts/site/collect.py FOLDER

Copies the pages of the site, and what they link to, into FOLDER, each under its
own path.  A link to a folder becomes one to its README.
"""
import pathlib
import re
import shutil
import sys

LINK = re.compile(r"\]\(([^()\s#]+)(#[^()\s]*)?\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.I)


def targets(page):
    """The files of this tree that a page links to."""
    for name, _ in LINK.findall(page.read_text(encoding="utf-8")):
        if ELSEWHERE.match(name):
            continue
        target = (page.parent / name).resolve().relative_to(pathlib.Path.cwd())
        if target.is_dir():
            target = target / "README.md"
        if target.is_file():
            yield target


def main(folder):
    waiting = sorted(pathlib.Path().glob("*.md")) + sorted(pathlib.Path("docs").glob("*.md"))
    known = set()
    while waiting:
        file = waiting.pop()
        if file in known:
            continue
        known.add(file)
        copy = folder / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        if file.suffix == ".md":
            waiting += targets(file)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
