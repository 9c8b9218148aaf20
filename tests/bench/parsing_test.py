#!/usr/bin/env python3
"""What the benchmark reads out of strace, perf and callgrind, and how it joins two runs. Needs none of them."""

from __future__ import annotations

import sys
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import added  # noqa: E402
import flame  # noqa: E402
import routing  # noqa: E402
import stacks  # noqa: E402
import syscalls  # noqa: E402
import targets  # noqa: E402
from results import Results  # noqa: E402
from sections import two_workers_row  # noqa: E402
from sections_more import choice_section  # noqa: E402
from stacks import Frame  # noqa: E402

STRACE = """\
12 recvfrom(0xd, 0x7ff3f8001fe0, 0x4000, 0, 0, 0) = 0x255
12 epoll_wait(0x9, 0x7ff3ff01c5f0, 0x80, 0 <unfinished ...>
13 recvfrom(0xe, 0x7ff3f8001fe0, 0x4000, 0, 0, 0) = -1 EAGAIN (Resource temporarily unavailable)
12 <... epoll_wait resumed>) = 0x1
14 recvfrom(0xe, 0x7ff3f8001fe0, 0x4000, 0, 0, 0 <unfinished ...>
14 <... recvfrom resumed>) = -1 EAGAIN (Resource temporarily unavailable)
"""


def run(scenario: str, proxy: str, value: float) -> dict:
    figures = {"scenario": scenario, "proxy": proxy, "round": 0, "figures": {"cpu_us": value}}
    return {
        "missing": [proxy],
        "gateways": [],
        "scenarios": {scenario: "title"},
        "measurements": [figures],
        "commands": [scenario],
        "invalid": [],
        "begun": "today",
        "machine": {"revision": "abc"},
    }


class Syscalls(unittest.TestCase):
    def test_a_call_that_another_thread_interrupted_counts_once(self) -> None:
        calls = Counter(syscalls.CALL.findall(STRACE))
        self.assertEqual(calls, {"recvfrom": 3, "epoll_wait": 1})

    def test_a_call_that_found_nothing_is_seen_on_whichever_line_it_ends(self) -> None:
        vain = Counter(one or other for one, other in syscalls.IN_VAIN.findall(STRACE))
        self.assertEqual(vain, {"recvfrom": 2})


class Names(unittest.TestCase):
    def test_template_arguments_and_clones_are_left_out(self) -> None:
        shown = {
            "boost::asio::executor<std::allocator<void>, 4ul>::execute<int>": "boost::asio::executor::execute",
            "spillway::server::(anonymous namespace)::head[abi:cxx11]": "spillway::server::head",
            "void spillway::route(int, std::string const&) [clone .cold]": "spillway::route",
            "cfree@GLIBC_2.2.5": "cfree",
            "do_softirq.part.0": "do_softirq",
        }
        for symbol, name in shown.items():
            self.assertEqual(stacks.without_templates(symbol), name)

    def test_a_function_belongs_to_the_part_that_it_was_written_in(self) -> None:
        groups = {
            ("spillway::server::Session::run", "/x/spillway"): stacks.SERVER,
            ("spillway::route", "/x/spillway"): stacks.CORE,
            ("std::vector::push_back", "/x/spillway"): stacks.LIBC,
            ("_int_malloc", "/lib/libc.so.6"): stacks.MEMORY,
            ("memcpy", "/lib/libc.so.6"): stacks.LIBC,
            ("tcp_sendmsg", "[kernel.kallsyms]"): stacks.KERNEL,
            ("SSL_read", "/lib/libssl.so.3"): stacks.OTHER,
        }
        for (name, library), group in groups.items():
            self.assertEqual(stacks.group_of(name, library), group, name)


class Flame(unittest.TestCase):
    def test_a_box_is_as_wide_as_its_share_and_names_it(self) -> None:
        base, leaf = Frame("run", stacks.SERVER), Frame("core::check<", stacks.CORE)
        drawn = flame.draw(Counter({(base,): 1, (base, leaf): 3}), "title")
        self.assertIn("<title>run: 100.0%</title>", drawn)
        self.assertIn("<title>core::check&lt;: 75.0%</title>", drawn)
        wide = 0.75 * (flame.WIDTH - 2 * flame.MARGIN)
        self.assertIn(f'width="{wide:.1f}"', drawn)


class Added(unittest.TestCase):
    def test_what_was_measured_anew_replaces_what_was_there_and_the_rest_stays(self) -> None:
        old = run("cpu/plain", "nginx", 10)
        old["measurements"] += run("cpu/plain", "Spillway", 12)["measurements"]
        found = added.merged(old, run("cpu/plain", "Spillway", 9))
        told = {one["proxy"]: one["figures"]["cpu_us"] for one in found["measurements"]}
        self.assertEqual(told, {"nginx": 10, "Spillway": 9})
        again = added.merged(found, {**run("cpu/plain", "Spillway", 8), "begun": "tomorrow"})
        self.assertEqual(added.told(again), ["tomorrow, revision abc: cpu/plain of Spillway"])


class Choice(unittest.TestCase):
    def test_the_target_and_the_table_show_what_the_program_said(self) -> None:
        times = {
            f"{what}_{at}_ns": value
            for what, at, value in (
                ("choice", "p50", 1500),
                ("choice", "p99", 3000),
                ("with_books", "p50", 2500),
                ("with_books", "p99", 4000),
            )
        }
        said = {"walked_bytes": 4194304, "cases": {"1,000 deployments": {"cold": times}}}
        measured = {**run("routing/choice", "Spillway", 0)["measurements"][0]}
        results = Results([{**measured, "figures": routing.named(said)}])
        self.assertEqual(targets.choice("1,000 deployments", "cold")(results), 1.5)
        self.assertIsNone(targets.choice("1,000 groups of two", "cold")(results))
        page = choice_section(results, {})
        self.assertIn("| 1,000 deployments | - | - | 1,500 | 3,000 |", page)
        self.assertIn("| 1,000 deployments | - | - | 2,500 | 4,000 |", page)
        self.assertEqual(choice_section(Results([]), {}), "")


class Workers(unittest.TestCase):
    def test_two_workers_are_compared_with_one(self) -> None:
        measurements = [
            run(scenario, proxy, cost)["measurements"][0]
            for scenario, proxy, cost in (
                ("cpu/1-worker", "Spillway", 20),
                ("cpu/2-workers", "Spillway", 21),
                ("cpu/1-worker", "nginx", 20),
                ("cpu/2-workers", "nginx", 25),
                ("cpu/1-worker", "HAProxy", 20),
            )
        ]
        results = Results(measurements)
        self.assertEqual(targets.two_workers_cpu(results), 1.05)
        self.assertEqual(two_workers_row(results).split(" | ")[1:], ["-", "1.25", "-", "1.05 |"])
        self.assertIsNone(targets.two_workers_cpu(Results([])))


if __name__ == "__main__":
    unittest.main()
