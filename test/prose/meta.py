#!/usr/bin/env python3
"""test/prose/meta.py

Fails where META.json is not what PGXN's meta specification 1.0.0 asks for, or does
not say what kgwebhook.control says: the version, and which extensions are required.

Of the specification, what META.json uses is checked: required members, the form of
names and versions, known members only (others have to begin with x_), and that the
files it names are there.
"""
import json
import pathlib
import re
import sys

REQUIRED = {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"}
OPTIONAL = {"description", "generated_by", "tags", "no_index", "prereqs", "release_status", "resources"}
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-?[A-Za-z][0-9A-Za-z-]*)?")
TERM = re.compile(r"[^\s/\\\x00-\x1f\x7f]{2,}")
LICENSES = {"postgresql", "open_source"}


def semver(value):
    return isinstance(value, str) and SEMVER.fullmatch(value)


def text(value):
    return isinstance(value, str) and value.strip() != ""


def texts(value):
    return text(value) or isinstance(value, list) and value != [] and all(map(text, value))


def control():
    lines = pathlib.Path("kgwebhook.control").read_text()
    return dict(re.findall(r"^(\w+)\s*=\s*'?([^'\n]*)'?$", lines, re.M))


def faults_of_members(meta):
    for name in REQUIRED - meta.keys():
        yield f"{name} is missing"
    for name in meta.keys() - REQUIRED - OPTIONAL:
        if not name.lower().startswith("x_"):
            yield f"{name} is no member of the specification"
    if not TERM.fullmatch(str(meta.get("name"))):
        yield "name is not a term"
    if not semver(meta.get("version")):
        yield "version is not a semantic version"
    if not text(meta.get("abstract")):
        yield "abstract is empty"
    if not texts(meta.get("maintainer")):
        yield "maintainer is empty"
    if meta.get("license") not in LICENSES:
        yield "license is not one of ours"
    if meta.get("release_status", "stable") not in ("stable", "testing", "unstable"):
        yield "release_status is unknown"
    if meta.get("meta-spec", {}).get("version") != "1.0.0":
        yield "meta-spec does not say its version"
    tags = meta.get("tags", [])
    if not isinstance(tags, list) or not all(text(t) and len(t) < 256 and not re.search(r"[/\\]", t) for t in tags):
        yield "tags are not tags"


def faults_of_prereqs(prereqs):
    for phase, relations in prereqs.items():
        if phase not in ("configure", "build", "test", "runtime", "develop"):
            yield f"prereqs: {phase} is no phase"
        for relation, names in relations.items():
            if relation not in ("requires", "recommends", "suggests", "conflicts"):
                yield f"prereqs: {relation} is no relationship"
            for name, version in names.items():
                if not TERM.fullmatch(name) or version != 0 and not semver(version):
                    yield f"prereqs: {name} {version} is no requirement"


def faults_against_control(meta):
    ours = control()
    provided = meta.get("provides", {}).get("kgwebhook", {})
    required = meta.get("prereqs", {}).get("runtime", {}).get("requires", {})

    for where, version in ("version", meta.get("version")), ("provides: version", provided.get("version")):
        if not str(version).startswith(ours["default_version"] + "."):
            yield f"{where} is {version}, and kgwebhook.control has {ours['default_version']}"
    for member in "file", "docfile":
        if not pathlib.Path(provided.get(member, "/nowhere")).is_file():
            yield f"provides: {member} is not there"
    wanted = {name.strip() for name in ours["requires"].split(",")}
    if wanted != set(required) - {"PostgreSQL"}:
        yield f"prereqs: {sorted(required)}, and kgwebhook.control requires {sorted(wanted)}"


def main():
    meta = json.loads(pathlib.Path("META.json").read_text())
    faults = [*faults_of_members(meta), *faults_of_prereqs(meta.get("prereqs", {})), *faults_against_control(meta)]
    print("\n".join(f"META.json: {fault}" for fault in faults) or "META.json is what PGXN asks for")
    return 1 if faults else 0


sys.exit(main())
