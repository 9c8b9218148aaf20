#!/usr/bin/env python3
"""The bill of materials of the release program: has what SPDX 2.3 asks for, names what the program is made of, and is
the same each time. Needs the release build, and nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
PROGRAM = BUILD / "spillway"
ID = re.compile(r"^SPDXRef-[A-Za-z0-9.-]+$")


def write() -> str:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "sbom.json"
        subprocess.run([ROOT / "docker" / "write_sbom.py", BUILD, PROGRAM, output], check=True)
        return output.read_text()


class SbomTest(unittest.TestCase):
    text: str
    document: dict[str, Any]

    @classmethod
    def setUpClass(cls) -> None:
        cls.text = write()
        cls.document = json.loads(cls.text)

    def package(self, name: str) -> dict[str, Any]:
        found = [package for package in self.document["packages"] if package["name"] == name]
        self.assertEqual(len(found), 1, f"{name} is in it once")
        return found[0]

    def related(self, relation: str) -> set[str]:
        """The names of the packages that stand in a relation to the program."""
        names = {package["SPDXID"]: package["name"] for package in self.document["packages"]}
        chosen = [entry for entry in self.document["relationships"] if entry["relationshipType"] == relation]
        ends = {end for entry in chosen for end in (entry["spdxElementId"], entry["relatedSpdxElement"])}
        return {names[end] for end in ends if end in names} - {"spillway"}

    def test_the_document_has_what_spdx_2_3_requires(self) -> None:
        document = self.document
        self.assertEqual(document["spdxVersion"], "SPDX-2.3")
        self.assertEqual(document["dataLicense"], "CC0-1.0")
        self.assertEqual(document["SPDXID"], "SPDXRef-DOCUMENT")
        self.assertTrue(document["name"])
        self.assertRegex(document["documentNamespace"], r"^https://[^#]+$")
        self.assertRegex(document["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        for creator in document["creationInfo"]["creators"]:
            self.assertRegex(creator, r"^(Tool|Person|Organization): ")

    def test_every_package_has_what_spdx_2_3_requires(self) -> None:
        ids = [package["SPDXID"] for package in self.document["packages"]]
        self.assertEqual(len(ids), len(set(ids)), "ids are unique")
        for package in self.document["packages"]:
            self.assertRegex(package["SPDXID"], ID)
            for key in ("name", "versionInfo", "downloadLocation", "licenseConcluded", "licenseDeclared"):
                self.assertTrue(package[key], f"{package['name']} has {key}")
            self.assertIs(package["filesAnalyzed"], False)

    def test_every_relationship_is_between_elements_of_the_document(self) -> None:
        known = {"SPDXRef-DOCUMENT", *(package["SPDXID"] for package in self.document["packages"])}
        for entry in self.document["relationships"]:
            self.assertIn(entry["spdxElementId"], known)
            self.assertIn(entry["relatedSpdxElement"], known)
            self.assertIn(entry["relationshipType"], {"DESCRIBES", "DYNAMIC_LINK", "STATIC_LINK", "BUILD_TOOL_OF"})
        self.assertEqual(self.document["documentDescribes"], ["SPDXRef-spillway"])

    def test_packages_carry_a_purl_with_their_version(self) -> None:
        for package in self.document["packages"]:
            if package["name"] != "spillway":
                (reference,) = package["externalRefs"]
                self.assertEqual(reference["referenceType"], "purl")
                self.assertRegex(reference["referenceLocator"], r"^pkg:deb/\w+/[^@]+@[^?]+\?arch=\w+&distro=\S+$")

    def test_the_program_is_the_one_that_was_built(self) -> None:
        program = self.package("spillway")
        (checksum,) = program["checksums"]
        self.assertEqual(checksum["checksumValue"], hashlib.sha256(PROGRAM.read_bytes()).hexdigest())
        shown = subprocess.run([PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
        self.assertIn(program["versionInfo"], shown)

    def test_every_shared_library_of_the_program_is_in_it(self) -> None:
        lister = ROOT / "docker" / "install_dependencies.sh"
        listed = subprocess.run([lister, "list-runtime", PROGRAM], check=True, capture_output=True, text=True).stdout
        self.assertGreater(len(listed.split()), 5)
        self.assertEqual(self.related("DYNAMIC_LINK"), set(listed.split()))

    def test_what_is_compiled_in_from_headers_is_in_it(self) -> None:
        compiled = self.related("STATIC_LINK")
        for part in ("boost", "nlohmann-json", "cli11", "spdlog", "libstdc\\+\\+"):
            self.assertTrue(any(re.search(part, name) for name in compiled), f"{part} is in it")
        for part in ("catch2", "python"):
            self.assertFalse(any(re.search(part, name) for name in compiled), f"{part} is only for tests")
        self.assertTrue(any(name.startswith("g++") for name in self.related("BUILD_TOOL_OF")))

    def test_it_is_the_same_each_time(self) -> None:
        self.assertEqual(self.text, write())


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    broken = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - broken} passed, {broken} failed")
    sys.exit(1 if broken else 0)
