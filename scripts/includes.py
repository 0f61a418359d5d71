#!/usr/bin/env python3
#-------------------------------------------------------------------------
#
# scripts/includes.py [DIRECTORY]
#	  Checks that the includes of src/ point down only, and that a name means one thing.
#
# Who reads a file should have to know only what stands below it.  So
#	- a folder includes from its own and from those below it (FLOORS),
#	- a folder that stands on no floor is an error: say where it belongs,
#	- files make no circle by what they include and what they call,
#	- only pg/compat.h looks at the version of PostgreSQL, and none includes
#	  utils/pg_locale.h, which a machine without ICU cannot compile,
#	- a folder has at most 16 ideas (a .c or .h file, or both of a name), and a
#	  file at most 400 lines; a part of the install script has 250.
#
# C lets two files use one name for different things; a debugger, a stack trace and
# grep then show the wrong one.  So
#	- no two files define a function, a variable or a type of the same name, static
#	  or not,
#	- a function that others may call is named for its file: kgw_FILE_what() or
#	  kgw_FILE(), in pure/jcs kgw_jcs_FILE_what(),
#	- a type begins with Kgw.
#
#-------------------------------------------------------------------------
import pathlib
import re
import sys

# From the top.  Folders of one floor include nothing of each other.
FLOORS = [
    ["."],
    ["worker"],
    ["trial"],
    ["api/keys"],
    ["api"],
    ["settle"],
    ["send", "schedule", "capture"],
    ["capture/value", "send/network"],
    ["follow"],
    ["secrets"],
    ["dashboard", "shmem", "queue"],
    ["pg"],
    ["pure"],
    ["pure/jcs", "pure/ed25519", "pure/text"],
]
COMPAT = "pg/compat.h"
MOST_LINES = 400
MOST_LINES_INSTALL = 250
MOST_IDEAS = 16

DEFINITION = re.compile(r"^(kgw_\w+)\(", re.MULTILINE)
FUNCTION = re.compile(r"^([a-z]\w*)\((?=[^;]*?\)\n\{)", re.MULTILINE)
VARIABLE = re.compile(r"^(?:static )?(?:const )?(?:volatile )?[A-Za-z]\w* [\w \t*]*?\**(\w+)(?:\[[^\]\n]*\])*(?: =[^\n]*|;)",
                      re.MULTILINE)
STRUCTURE = re.compile(r"^(typedef |static )?(?:struct|union|enum)(?: (\w+))?\n\{.*?^\}(?: (\w+))?;",
                       re.MULTILINE | re.DOTALL)
NAME = re.compile(r"\bkgw_\w+")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def idea(path):
    """What a file is about: x.c, x.h and x_internal.h are one."""
    return re.sub(r"(_internal)?\.[ch]$", "", path)


def folder(path):
    return str(pathlib.PurePosixPath(path).parent)


def circle_among(arrows):
    """One circle of a graph, as a list, or None."""
    done, trail = set(), []

    def visit(node):
        if node in trail:
            return trail[trail.index(node):] + [node]
        if node in done:
            return None
        trail.append(node)
        for other in sorted(arrows.get(node, ())):
            found = visit(other)
            if found:
                return found
        done.add(trail.pop())
        return None

    for node in sorted(arrows):
        found = visit(node)
        if found:
            return found
    return None


def types(text):
    return {name for kind, tag, name in STRUCTURE.findall(text)
            for name in (tag, name if kind.startswith("typedef") else "") if name}


def defined_names(path, text):
    """The functions, variables and types that a file defines."""
    text = COMMENT.sub("", text)
    names = types(text) | {name for _, _, name in STRUCTURE.findall(text) if name}
    if path.endswith(".c"):
        names |= set(FUNCTION.findall(text))
        names |= {name for name, line in ((m.group(1), m.group(0)) for m in VARIABLE.finditer(text))
                  if not line.startswith(("typedef", "extern", "return", "struct "))}
    return names


def prefix(path):
    """What the names of a file's functions begin with."""
    name = idea(path).rsplit("/", 1)[-1]
    return f"kgw_jcs_{name}" if folder(path) == "pure/jcs" and name != "jcs" else f"kgw_{name}"


def name_faults(texts):
    home = {}
    for path, text in texts.items():
        for name in defined_names(path, text):
            home.setdefault(name, []).append(path)
        for name in types(COMMENT.sub("", text)):
            if not name.startswith("Kgw"):
                yield f"type {name} of {path} does not begin with Kgw"
        for name in DEFINITION.findall(text) if path.endswith(".c") else ():
            if name != prefix(path) and not name.startswith(prefix(path) + "_") and path != "kgwebhook.c":
                yield f"{name}() of {path} is not named {prefix(path)}_..."
    for name, paths in sorted(home.items()):
        if len(paths) > 1:
            yield f"{name} is defined by {' and '.join(paths)}"


def faults(source):
    floor = {name: n for n, names in enumerate(FLOORS) for name in names}
    texts = {str(p.relative_to(source)): p.read_text()
             for p in sorted(source.rglob("*.[ch]"))}
    ideas, arrows = {}, {}
    home = {name: path for path, text in texts.items() if path.endswith(".c")
            for name in DEFINITION.findall(text)}

    def point(path, other):
        if other != path:
            arrows.setdefault(path, set()).add(other)

    for path, text in texts.items():
        here = folder(path)
        ideas.setdefault(here, set()).add(idea(path))
        lines = text.count("\n")
        if lines > MOST_LINES:
            yield f"{path} has {lines} lines, more than {MOST_LINES}"
        if path != COMPAT and "PG_VERSION_NUM" in COMMENT.sub("", text):
            yield f"{path} looks at PG_VERSION_NUM, which only {COMPAT} may"
        if "utils/pg_locale.h" in INCLUDE.findall(text):
            yield f"{path} includes utils/pg_locale.h, which needs ICU's headers; {COMPAT} has what it declares"
        for included in INCLUDE.findall(text):
            if included not in texts:
                continue        # PostgreSQL's, or made by the Makefile
            there = folder(included)
            point(path, included)
            if here in floor and there in floor and here != there and \
                    floor[here] >= floor[there]:
                yield f"{path} includes {included}, which is not below it"
        if path.endswith(".c"):
            for name in NAME.findall(COMMENT.sub("", text)):
                if name in home:
                    point(path, home[name])
    for name, members in ideas.items():
        if name not in floor:
            yield f"folder {name} has no place in the order of scripts/includes.py"
        if len(members) > MOST_IDEAS:
            yield f"folder {name} has {len(members)} ideas, more than {MOST_IDEAS}"
    yield from name_faults(texts)
    circle = circle_among(arrows)
    if circle:
        yield "a circle: " + " -> ".join(circle)


def main():
    source = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
    found = list(faults(source))
    for part in sorted(source.parent.glob("install/*.sql")):
        lines = part.read_text().count("\n")
        if lines > MOST_LINES_INSTALL:
            found.append(f"{part} has {lines} lines, more than {MOST_LINES_INSTALL}")
    for fault in found:
        print(fault)
    sys.exit(1 if found else 0)


main()
