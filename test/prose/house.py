#!/usr/bin/env python3
#-------------------------------------------------------------------------
#
# test/prose/house.py [DIRECTORY]
#	  What a newcomer relies on, and what is easily forgotten beside a change.
#
#	- each folder of src/ has a README.md, except src itself, whose page is ARCHITECTURE.md,
#	- CONTRIBUTING.md asks ten questions, and each file it answers with exists,
#	- a caught error is dropped in one place, src/pg/error_recovery.c,
#	- invariants run: src/ has at least 60 Asserts.
#
#-------------------------------------------------------------------------
import pathlib
import re
import sys

RECOVERY = "src/pg/error_recovery.c"
FEWEST_ASSERTS = 60


def faults(top):
    sources = {p: p.read_text() for p in sorted((top / "src").rglob("*.[ch]"))}
    for folder in sorted({p.parent for p in sources} - {top / "src"}):
        if not (folder / "README.md").exists():
            yield f"{folder.relative_to(top)} has no README.md"

    section = (top / "CONTRIBUTING.md").read_text().split("\n## Where is it?\n")[1].split("\n## ")[0]
    questions = re.findall(r"^\| ([^|]*\?) \| (.*) \|$", section, re.MULTILINE)
    if len(questions) != 10:
        yield f"CONTRIBUTING.md asks {len(questions)} questions, not ten"
    for question, answer in questions:
        paths = re.findall(r"`([\w./]+)`", answer)
        missing = [path for path in paths if "/" in path and not (top / path).exists()]
        if not paths or missing:
            yield f"\"{question}\" is answered by {' '.join(missing) or 'no file'}, which is not there"

    for path, text in sources.items():
        name = str(path.relative_to(top))
        if "FlushErrorState(" in text and name != RECOVERY:
            yield f"{name} drops an error, which only {RECOVERY} does"
    asserts = sum(len(re.findall(r"\bAssert\(", text)) for text in sources.values())
    if asserts < FEWEST_ASSERTS:
        yield f"src has {asserts} Asserts, fewer than {FEWEST_ASSERTS}"


def main():
    found = list(faults(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


main()
