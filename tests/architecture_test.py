#!/usr/bin/env python3
"""The architecture's rules, as tests: what may include what, who reads a clock, how coroutines are written.

Each rule is a function from a file's path and text to the places that break it. The first half of the tests applies
the rules to the project, the second shows each rule a bad snippet that it must find and a good one that it must pass.
Needs nothing but the standard library.
"""

from __future__ import annotations

import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cpp_statements import find_unsafe_awaits, strip_comments_and_strings  # noqa: E402
from mutate import misplaced  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
CPP_FOLDERS = ("core/", "config/", "server/", "tests/unit/")


class Breach(NamedTuple):
    line: int
    what: str


Rule = Callable[[str, str], Iterator[Breach]]


def matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, re.Match[str]]]:
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match


# --- layers ----------------------------------------------------------------------------------------------

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.MULTILINE)

# core/ is values and decisions: the standard library without what waits, three libraries of values, and the
# processor's vector instructions.
CORE_LIBRARIES = ("nlohmann/", "fmt/", "simdjson.h", "emmintrin.h", "immintrin.h", "arm_neon.h")
# Threads, locks and streams: nothing of core/ waits, shares or prints.
NOT_IN_CORE = {
    "thread", "mutex", "shared_mutex", "condition_variable", "future", "stop_token", "semaphore", "latch", "barrier",
    "coroutine", "iostream", "fstream", "filesystem", "print", "syncstream", "ctime",
}  # fmt: skip
# config/ reads files, but serves nobody.
NOT_IN_CONFIG = ("boost/asio", "boost/beast", "openssl/", "spdlog/", "thread", "mutex", "sys/socket.h")
MAY_INCLUDE = {"core/": ("core/",), "config/": ("core/", "config/"), "server/": ("core/", "config/", "server/")}


def layers(path: str, text: str) -> Iterator[Breach]:
    folder = path.split("/")[0] + "/"
    if folder not in MAY_INCLUDE:
        return
    for line, match in matches(INCLUDE, text):
        bracket, name = match.groups()
        if bracket == '"':
            if not name.startswith(MAY_INCLUDE[folder]):
                yield Breach(line, f'{folder} may not include "{name}"')
        elif folder == "core/":
            standard = "/" not in name and "." not in name and name not in NOT_IN_CORE
            if not standard and not name.startswith(CORE_LIBRARIES):
                yield Breach(line, f"core/ may not include <{name}>")
        elif folder == "config/" and name.startswith(NOT_IN_CONFIG):
            yield Breach(line, f"config/ may not include <{name}>")


# --- time ------------------------------------------------------------------------------------------------

CLOCK = re.compile(r"::now\s*\(|\b(?:gettimeofday|clock_gettime|timespec_get)\s*\(|\btime\s*\(\s*(?:nullptr|NULL|0)\s*\)")
# The worker and main read the clock; everything else is told what time it is.
CLOCK_READERS = re.compile(r"server/(?:worker[a-z_]*\.[ch]pp|main\.cpp)$")


def clock(path: str, text: str) -> Iterator[Breach]:
    if not path.startswith(("core/", "config/", "server/")) or CLOCK_READERS.match(path):
        return
    for line, match in matches(CLOCK, strip_comments_and_strings(text)):
        yield Breach(line, f"reads a clock ({match.group().strip()}): take the time as a parameter")


# --- coroutines ------------------------------------------------------------------------------------------

# The composed reads of Beast let a peer's trailer end the process; the parser is driven by hand.
COMPOSED_READ = re.compile(r"\bhttp::(?:async_)?read(?:_header|_some)?\s*\(")


def awaits(path: str, text: str) -> Iterator[Breach]:
    for line, what in find_unsafe_awaits(text):
        yield Breach(line, what)


def composed_reads(path: str, text: str) -> Iterator[Breach]:
    if path.startswith("server/"):
        for line, match in matches(COMPOSED_READ, strip_comments_and_strings(text)):
            yield Breach(line, f"{match.group()[:-1]} on an untrusted peer: drive the parser by hand")


# --- secrets ---------------------------------------------------------------------------------------------

# Where a client's key meets ours, time must not tell how much of it is right.
HASTY_COMPARISON = re.compile(
    r"\breveal\(\)\s*(?:[=!]=|\.(?:compare|find|starts_with|ends_with)\b)|[=!]=\s*[\w.>-]*\breveal\(\)"
)
EARLY_END = re.compile(
    r"\bbreak;|\breturn (?:&|true)|\b(?:expected|presented)\s*[=!]=\s*(?:expected|presented)\b"
)


def key_comparisons(path: str, text: str) -> Iterator[Breach]:
    # What makes a key compares it with the operator's own.
    if not path.startswith("server/") or path == "server/configuration_source.cpp":
        return
    code = strip_comments_and_strings(text)
    for line, match in matches(HASTY_COMPARISON, code):
        yield Breach(line, f"{match.group()}: compare secrets with CRYPTO_memcmp")
    if path == "server/authenticate.cpp":
        if "CRYPTO_memcmp(" not in code:
            yield Breach(1, "keys are not compared with CRYPTO_memcmp")
        for line, match in matches(EARLY_END, code):
            yield Breach(line, f"{match.group()}: look at every key, and at all of it")


# --- texture ---------------------------------------------------------------------------------------------

PRINTING = re.compile(r"\bstd::(?:cout|cerr|clog|printf|puts)\b|\b(?:printf|fprintf|puts)\s*\(")
COLUMNS = 100


def printing(path: str, text: str) -> Iterator[Breach]:
    if path.startswith(("core/", "config/")):
        for line, match in matches(PRINTING, strip_comments_and_strings(text)):
            yield Breach(line, f"{match.group()} prints: return a value instead")


def columns(path: str, text: str) -> Iterator[Breach]:
    for line, content in enumerate(text.splitlines(), 1):
        if len(content) > COLUMNS:
            yield Breach(line, f"{len(content)} columns, more than {COLUMNS}")


def headers(path: str, text: str) -> Iterator[Breach]:
    """A header guards itself, and is the first include of the source beside it, which proves it self-contained."""
    if path.endswith(".hpp") and not re.search(r"^#pragma once$", text, re.MULTILINE):
        yield Breach(1, "lacks #pragma once")
    own_header = re.sub(r"\.cpp$", ".hpp", path)
    if path.endswith(".cpp") and (ROOT / own_header).exists():
        first = INCLUDE.search(text)
        if first is None or first.group(2) != own_header:
            yield Breach(1, f'the first include must be its own header, "{own_header}"')


# Written in pieces, so that this file does not break its own rules.
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
MACHINE_PATH = re.compile(
    r"/wo" + r"rk/(?:main|shared|\.library)|(?<![\w.])/ro" + r"ot/|/ho" + r"me/\w|/U" + r"sers/\w|/tmp/bu" + r"ild"
)
PACKAGE_HOST = re.compile(
    r"\b(?:py" + r"pi\.org|pythonhosted\.org|npm" + r"js\.(?:org|com)|(?:deb|security|archive|ports|ftp)[\w.]*\."
    r"(?:deb" + r"ian|ubu" + r"ntu)\.(?:org|com)|crates\.io|repo1?\.maven)",
    re.IGNORECASE,
)


def unfinished(path: str, text: str) -> Iterator[Breach]:
    for line, match in matches(UNFINISHED, text):
        yield Breach(line, f"{match.group()} is left: do it, or write down why not")


def places(path: str, text: str) -> Iterator[Breach]:
    for line, match in matches(MACHINE_PATH, text):
        yield Breach(line, f"{match.group()} names one machine")
    for line, match in matches(PACKAGE_HOST, text):
        yield Breach(line, f"{match.group()} names a package host: each machine has its own")


# --- the project's files ---------------------------------------------------------------------------------


def project_files() -> list[str]:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in paths if not {"build", "node_modules", ".venv"} & set(path.parts)]


def is_cpp(path: str) -> bool:
    return path.startswith(CPP_FOLDERS) and path.endswith((".cpp", ".hpp"))


class ProjectTest(unittest.TestCase):
    def hold(self, rule: Rule, cpp_only: bool = True) -> None:
        breaches = []
        looked_at = 0
        for path in project_files():
            if cpp_only and not is_cpp(path):
                continue
            try:
                text = (ROOT / path).read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError):
                continue
            looked_at += 1
            breaches += [f"{path}:{breach.line}: {breach.what}" for breach in rule(path, text)]
        self.assertGreater(looked_at, 0, "no file was looked at")
        if breaches:
            self.fail("\n" + "\n".join(breaches))

    def test_layers_include_only_what_is_below_them(self) -> None:
        self.hold(layers)

    def test_only_the_worker_and_main_read_a_clock(self) -> None:
        self.hold(clock)

    def test_statements_with_co_await_hold_no_brace_initialiser_and_no_lambda(self) -> None:
        self.hold(awaits)

    def test_no_composed_read_on_untrusted_peers(self) -> None:
        self.hold(composed_reads)

    def test_keys_are_compared_in_constant_time(self) -> None:
        self.hold(key_comparisons)

    def test_core_and_config_do_not_print(self) -> None:
        self.hold(printing)

    def test_no_line_is_over_100_columns(self) -> None:
        self.hold(columns)

    def test_headers_are_guarded_and_self_contained(self) -> None:
        self.hold(headers)

    def test_nothing_is_left_unfinished(self) -> None:
        self.hold(unfinished, cpp_only=False)

    def test_every_mutation_still_finds_its_text(self) -> None:
        self.assertEqual(misplaced(), [])

    def test_no_file_names_a_machine_or_a_package_host(self) -> None:
        self.hold(places, cpp_only=False)


# --- the rules themselves --------------------------------------------------------------------------------


class RuleTest(unittest.TestCase):
    def finds(self, rule: Rule, path: str, text: str) -> None:
        self.assertTrue(list(rule(path, text)), f"not found in {path}: {text}")

    def passes(self, rule: Rule, path: str, text: str) -> None:
        self.assertEqual(list(rule(path, text)), [], f"wrongly found in {path}: {text}")

    def test_core_includes(self) -> None:
        forbidden = ("boost/asio.hpp", "boost/beast/http.hpp", "openssl/ssl.h", "spdlog/spdlog.h", "thread", "mutex")
        for name in (*forbidden, "sys/socket.h", "iostream", "yaml-cpp/yaml.h"):
            self.finds(layers, "core/a.cpp", f"#include <{name}>\n")
        for name in ("config/load.hpp", "server/worker.hpp", "a.hpp"):
            self.finds(layers, "core/a.cpp", f'#  include "{name}"\n')
        for name in ("<vector>", "<nlohmann/json.hpp>", "<fmt/format.h>", "<simdjson.h>", '"core/time.hpp"'):
            self.passes(layers, "core/a.cpp", f"#include {name}\n")

    def test_config_includes(self) -> None:
        self.finds(layers, "config/a.cpp", '#include "server/worker.hpp"\n')
        self.finds(layers, "config/a.cpp", "#include <boost/asio.hpp>\n")
        self.passes(layers, "config/a.cpp", '#include <boost/url.hpp>\n#include "core/config.hpp"\n')

    def test_server_includes(self) -> None:
        self.finds(layers, "server/a.cpp", '#include "tests/unit/helper.hpp"\n')
        self.passes(layers, "server/a.cpp", '#include "config/load.hpp"\n#include <thread>\n')

    def test_clocks(self) -> None:
        self.finds(clock, "core/a.cpp", "auto t = std::chrono::steady_clock::now();")
        self.finds(clock, "server/session.cpp", "auto t = Clock::now ();")
        self.finds(clock, "config/a.cpp", "auto t = time(nullptr);")
        self.passes(clock, "server/worker.cpp", "auto t = Clock::now();")
        self.passes(clock, "server/worker_pool.hpp", "auto t = Clock::now();")
        self.passes(clock, "server/main.cpp", "auto t = Clock::now();")
        self.passes(clock, "core/a.cpp", "// never Clock::now()\nauto t = now; f(now());")

    def test_composed_reads(self) -> None:
        self.finds(composed_reads, "server/a.cpp", "co_await http::async_read(s, b, p, to(ec));")
        self.finds(composed_reads, "server/a.cpp", "http::async_read_header(s, b, p);")
        self.passes(composed_reads, "server/a.cpp", "s.async_read_some(b, to(ec));")

    def test_key_comparisons(self) -> None:
        whole = "const bool same = CRYPTO_memcmp(a, b, n) == 0;\n"
        self.finds(key_comparisons, "server/a.cpp", "if (key.reveal() == given) f();")
        self.finds(key_comparisons, "server/a.cpp", "if (given != entry.key.reveal()) f();")
        self.finds(key_comparisons, "server/a.cpp", "key.reveal().starts_with(given);")
        self.finds(key_comparisons, "server/authenticate.cpp", "return nullptr;")
        self.finds(key_comparisons, "server/authenticate.cpp", whole + "if (same) return &key;")
        self.finds(key_comparisons, "server/authenticate.cpp", whole + "if (expected == presented) f();")
        self.passes(key_comparisons, "server/authenticate.cpp", whole + "if (same) found = &key.name;")
        self.passes(key_comparisons, "server/a.cpp", "head.append(key.reveal());")

    def test_printing(self) -> None:
        self.finds(printing, "core/a.cpp", "std::cerr << 1;")
        self.finds(printing, "config/a.cpp", 'printf("x");')
        self.passes(printing, "server/main.cpp", "std::cout << 1;")
        self.passes(printing, "core/a.cpp", 'f("std::cout"); snprintf(b, 1, "");')

    def test_columns(self) -> None:
        self.finds(columns, "core/a.hpp", "//" + "x" * 99)
        self.passes(columns, "core/a.hpp", "//" + "é" * 98)

    def test_headers(self) -> None:
        self.finds(headers, "core/a.hpp", "struct A {};\n")
        self.finds(headers, "core/config.cpp", '#include <vector>\n#include "core/config.hpp"\n')
        self.passes(headers, "core/a.hpp", "// Why.\n#pragma once\n")
        self.passes(headers, "core/config.cpp", '#include "core/config.hpp"\n#include <vector>\n')

    def test_unfinished(self) -> None:
        self.finds(unfinished, "core/a.cpp", "// TO" + "DO: later\n")
        self.finds(unfinished, "README.md", "FIX" + "ME\n")
        self.passes(unfinished, "core/a.cpp", "// mastodon\n")

    def test_places(self) -> None:
        self.finds(places, "docker/a.sh", "cd /wo" + "rk/main\n")
        self.finds(places, "docker/a.sh", "URIs: http://deb.deb" + "ian.org/debian\n")
        self.finds(places, "tests/a.json", '"https://registry.npm' + 'js.org/x"\n')
        self.passes(places, "docker/a.sh", "cp -r src /app\nhttps://api.openai.com/v1\n")

    def test_awaits_that_break(self) -> None:
        for statement in (
            "co_await f(Req{a});",
            "co_await f({a, b});",
            "auto r = co_await f(std::array{x, y});",
            "Req q{x, co_await y};",
            "Req q = {x, co_await y};",
            "co_await x([&] { return 1; });",
            "co_await x([a](int b) mutable -> int { return a + b; });",
            "co_await x([] {}, 1);",
            "if (co_await f(Req{a})) { g(); }",
            "while ((co_await f(Req{.a = 1})).ok) g();",
            "co_return co_await f(ns::Req<int>{a});",
            "switch (co_await f(Req{})) { default: break; }",
            "auto [a, b] = co_await f();",
            "for (auto x : co_await f(Req{1})) g(x);",
            'co_await f(R"({)", Req{a});',
        ):
            self.finds(awaits, "server/a.cpp", "Awaitable<void> g() {\n  " + statement + "\n}\n")

    def test_awaits_that_are_safe(self) -> None:
        for statement in (
            "auto r = Req{a}; co_await f(r);",
            "co_return Req{a};",
            "co_await f(Req(a));",
            "if (co_await f()) { auto q = Req{a}; }",
            "if (co_await f()) x = Req{a};",
            "for (Req r{1}; co_await f(); ++i) { g(Req{2}); }",
            "auto h = [&] { return Req{1}; };",
            "while (true) { co_await f(a[i], b[0][1]); Req q{}; }",
            "switch (co_await f()) { case 1: { co_await g(); } default: break; }",
            "try { co_await f(); } catch (const E& e) { h(E{}); }",
            "do { co_await f(); } while (i < 1'000'000);",
            "[[maybe_unused]] auto r = co_await f();",
            "co_await f(\"{\", '{');  // Req{a}",
            "co_await f(/* Req{a} */);",
        ):
            self.passes(awaits, "server/a.cpp", "Awaitable<void> g() {\n  " + statement + "\n}\n")

    def test_awaits_within_larger_constructs(self) -> None:
        self.passes(
            awaits,
            "server/a.cpp",
            """
            namespace a::b {
            struct S final : T { int x{1}; enum class E : int { a, b }; S() : x{2} { y(); } };
            auto f(S s) -> Awaitable<void> { co_await g(s); }
            Awaitable<int> S::h() const { if (x) { co_await g(); } else { Req q{1}; } co_return int{1}; }
            }
            """,
        )

    def test_awaits_name_their_line(self) -> None:
        text = "A f() {\n  co_await g();\n\n  co_await g(\n      Req{1});\n}\n"
        self.assertEqual([breach.line for breach in awaits("server/a.cpp", text)], [4])


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    broken = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - broken} passed, {broken} failed")
    sys.exit(1 if broken else 0)
