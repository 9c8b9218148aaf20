#!/usr/bin/env python3
"""Writes the bill of materials of a built program, as SPDX 2.3 JSON.

    docker/write_sbom.py BUILD_FOLDER PROGRAM OUTPUT

What is in it is read from the build, not from a list: the packages that own the shared libraries the program is linked
with, the static libraries of its link, and every header that its compilation read; and the compiler and linker that made
it. The same program from the same packages gives the same file: its time is SOURCE_DATE_EPOCH, else that of the last
commit. Debian and Ubuntu only; needs dpkg, ldd and ninja, and nothing of Python but the standard library.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterable, NamedTuple
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("g++", "ld", "cmake", "ninja")


def output_of(*command: str | Path, **options: Any) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


# --- what the build used ----------------------------------------------------------------------------------


def shared_libraries(program: Path) -> set[str]:
    found = re.findall(r"=> (/\S+)|^\s*(/\S+)", output_of("ldd", program), re.MULTILINE)
    return {path for pair in found for path in pair if path}


def link_command(build: Path, program: Path) -> list[str]:
    target = str(program.resolve().relative_to(build.resolve()))
    return output_of("ninja", "-C", build, "-t", "commands", target).splitlines()[-1].split()


def static_libraries(build: Path, command: list[str]) -> set[str]:
    archives = {word for word in command if word.endswith(".a")}
    return {word for word in archives if Path(word).is_absolute() and not Path(word).is_relative_to(build.resolve())}


# The objects of the program: those it is linked from, and those of our own archives among them.
def our_objects(build: Path, command: list[str]) -> set[str]:
    objects = {word for word in command if word.endswith(".o")}
    for archive in (word for word in command if word.endswith(".a") and (build / word).exists()):
        if not Path(archive).is_absolute():
            folder = f"CMakeFiles/{Path(archive).stem.removeprefix('lib')}.dir/"
            inputs = output_of("ninja", "-C", build, "-t", "inputs", archive).split()
            objects.update(word for word in inputs if word.startswith(folder) and word.endswith(".o"))
    return objects


def headers(build: Path, objects: set[str]) -> set[str]:
    """The files outside our own folders that compiling the objects read."""
    found: set[str] = set()
    wanted = False
    for line in output_of("ninja", "-C", build, "-t", "deps").splitlines():
        if line and not line.startswith(" "):
            wanted = line.split(":")[0] in objects
        elif wanted and line.startswith("    /"):
            found.add(line.strip())
    return {path for path in found if not Path(path).is_relative_to(ROOT)}


def tools() -> set[str]:
    paths = (subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip() for tool in TOOLS)
    return {path for path in paths if path}


# --- which packages those are -----------------------------------------------------------------------------


class Package(NamedTuple):
    name: str
    version: str
    architecture: str
    source: str
    homepage: str


def owners(paths: Iterable[str]) -> set[str]:
    """The packages that own the files, whose names may differ by symbolic links and by the /usr merge."""
    wanted: set[str] = set()
    for path in paths:
        for name in (path, os.path.normpath(path), os.path.realpath(path)):
            wanted.update((name, name.removeprefix("/usr"), "/usr" + name))
    found = set()
    for listing in Path("/var/lib/dpkg/info").glob("*.list"):
        if not wanted.isdisjoint(listing.read_text(errors="replace").splitlines()):
            found.add(listing.stem.split(":")[0])
    return found


def describe(names: set[str]) -> list[Package]:
    fields = ("${Package}", "${Version}", "${Architecture}", "${source:Package}", "${Homepage}")
    if not names:
        return []
    lines = output_of("dpkg-query", "-W", "-f", "\\t".join(fields) + "\\n", *sorted(names)).splitlines()
    return sorted({Package(*line.split("\t")) for line in lines})


# --- the document -----------------------------------------------------------------------------------------


def distribution() -> tuple[str, str]:
    text = Path("/etc/os-release").read_text()
    values = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return values["ID"], values["VERSION_ID"]


def created() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        commit = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
        epoch = commit.stdout.strip() or "0"
    return datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def package_entry(package: Package, kind: str) -> dict[str, Any]:
    name, version = distribution()
    locator = f"pkg:deb/{name}/{quote(package.name)}@{quote(package.version, safe='')}"
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{package.name}-{package.architecture}"),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "supplier": "NOASSERTION",
        "sourceInfo": f"{kind}; built from {name}'s source package {package.source}",
        **({"homepage": package.homepage} if package.homepage else {}),
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"{locator}?arch={package.architecture}&distro={name}-{version}",
            }
        ],
    }


def own_entry(program: Path) -> dict[str, Any]:
    version = re.search(r"project\(spillway VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    if version is None:
        raise SystemExit("write_sbom.py: CMakeLists.txt names no version")
    return {
        "SPDXID": "SPDXRef-spillway",
        "name": "spillway",
        "versionInfo": version.group(1),
        "packageFileName": program.name,
        "primaryPackagePurpose": "APPLICATION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(program.read_bytes()).hexdigest()}],
        "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION",
        "supplier": "NOASSERTION",
    }


def document(build: Path, program: Path) -> dict[str, Any]:
    command = link_command(build, program)
    linked = describe(owners(shared_libraries(program)))
    # Of what is linked dynamically the headers, too, are compiled in: templates and inline functions.
    compiled = describe(owners(headers(build, our_objects(build, command)) | static_libraries(build, command)))
    made_by = describe(owners(tools()))

    root = own_entry(program)
    entries, relations = {root["SPDXID"]: root}, [("SPDXRef-DOCUMENT", "DESCRIBES", root["SPDXID"])]
    for packages, kind, relation in (
        (linked, "linked with when it starts", "DYNAMIC_LINK"),
        (compiled, "compiled in from its headers and archives", "STATIC_LINK"),
        (made_by, "used to build it", "BUILD_TOOL_OF"),
    ):
        for package in packages:
            entry = package_entry(package, kind)
            entries.setdefault(entry["SPDXID"], entry)
            pair = (root["SPDXID"], entry["SPDXID"])
            first, second = reversed(pair) if relation == "BUILD_TOOL_OF" else pair
            relations.append((first, relation, second))

    body = {
        "packages": list(entries.values()),
        "relationships": [
            {"spdxElementId": first, "relationshipType": relation, "relatedSpdxElement": second}
            for first, relation, second in relations
        ],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"spillway-{root['versionInfo']}",
        "documentNamespace": f"https://spdx.org/spdxdocs/spillway-{root['versionInfo']}-{digest}",
        "creationInfo": {"created": created(), "creators": ["Tool: spillway-write_sbom.py"]},
        "documentDescribes": [root["SPDXID"]],
        **body,
    }


def main() -> None:
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    build, program, output = map(Path, sys.argv[1:])
    output.write_text(json.dumps(document(build, program), indent=2) + "\n")


if __name__ == "__main__":
    main()
