"""What a soak prints."""

from __future__ import annotations

import collections

from book import Book
from reconcile import Findings, Ledger
from watch import Quiet


def print_rest(when: str, found: Quiet) -> None:
    print(
        f"at rest, {when}: {found.descriptors} descriptors,"
        f" {found.anonymous / 1e6:.1f} MB allocated ({found.heap / 1e6:.1f} MB heap),"
        f" {found.resident / 1e6:.1f} MB resident"
        + "".join(f"; LEFT: {name}" for name in found.left_over),
        flush=True,
    )


def print_report(ledger: Ledger, book: Book, findings: Findings) -> None:
    asked = collections.Counter(request.kind for request in book.asked)
    calls = collections.Counter()
    for request in book.asked:
        calls[request.kind] += len(book.calls.get(request.id, ()))
    print(f"\n{'kind':20}{'requests':>9}{'calls':>9}  outcomes in the log")
    for kind in sorted(asked):
        outcomes = ledger.outcomes.get(kind, collections.Counter()).most_common()
        told = ", ".join(f"{name}: {number}" for name, number in outcomes)
        print(f"{kind:20}{asked[kind]:9}{calls[kind]:9}  {told}")
    print(f"{'all':20}{sum(asked.values()):9}{sum(calls.values()):9}  {ledger.attempts} attempts")
    for what, number in findings.counts.most_common():
        print(f"\n{number} x {what}")
        for example in findings.examples[what]:
            print(f"    {example}")
    failed = findings.counts.total()
    print(f"\n{failed} mismatches." if failed else "\nEverything agrees.")
