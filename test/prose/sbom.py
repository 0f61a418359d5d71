#!/usr/bin/env python3
"""test/prose/sbom.py

Fails where the SBOM that scripts/sbom.py prints does not say of a tarball's files what
is in them, or lacks what SPDX 2.3 requires.  The tarball is a small one, made here.
"""
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

FILES = {"./README.md": b"read me\n", "./src/a.c": b"int a;\n", "./empty": b""}
REQUIRED = {
    "document": {"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"},
    "packages": {"SPDXID", "name", "downloadLocation"},
    "files": {"SPDXID", "fileName", "checksums"},
    "relationships": {"spdxElementId", "relationshipType", "relatedSpdxElement"},
}


def tarball(path):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo("kgwebhook-1.0/" + name[2:])
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def faults(sbom, path):
    for kind, members in REQUIRED.items():
        for element in [sbom] if kind == "document" else sbom[kind]:
            if members - element.keys():
                yield f"{kind}: {sorted(members - element.keys())} missing"
    seen = {f["fileName"]: {c["algorithm"]: c["checksumValue"] for c in f["checksums"]} for f in sbom["files"]}
    real = {name: {"SHA1": hashlib.sha1(content).hexdigest(), "SHA256": hashlib.sha256(content).hexdigest()}
            for name, content in FILES.items()}
    if seen != real:
        yield f"files: {seen}, and not {real}"
    ours = sbom["packages"][0]
    if ours["checksums"][1]["checksumValue"] != hashlib.sha256(path.read_bytes()).hexdigest():
        yield "the tarball has another checksum"
    code = hashlib.sha1("".join(sorted(sums["SHA1"] for sums in real.values())).encode()).hexdigest()
    if ours["packageVerificationCode"]["packageVerificationCodeValue"] != code:
        yield "another verification code"
    names = {sbom["SPDXID"]} | {e["SPDXID"] for kind in ("packages", "files") for e in sbom[kind]}
    if len(names) != 1 + len(sbom["packages"]) + len(sbom["files"]):
        yield "two elements have one name"
    for relation in sbom["relationships"]:
        if not {relation["spdxElementId"], relation["relatedSpdxElement"]} <= names:
            yield f"{relation} leads nowhere"


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "kgwebhook-1.0.tar.gz")
        tarball(path)
        run = subprocess.run(["scripts/sbom.py", path, "1.0", "2026-11-27T12:00:00Z"],
                             capture_output=True, check=True)
        found = list(faults(json.loads(run.stdout), path))
    print("\n".join(found) or "the SBOM says what is in the tarball")
    return 1 if found else 0


sys.exit(main())
