#!/usr/bin/env python3
"""Breaks one rule of core/ at a time and sees whether a unit test notices.

Each mutation is applied to a copy of the tree, never in place; the copy's unit tests are built and run, and must fail.
A mutation that survives is a rule without a test. Only the mutated file is compiled again, and the first test that
fails, which is named, ends a run. With --check it is only made sure that each mutation's text still occurs exactly
once, which takes no time. To go on after an interruption, --range takes the numbers that are printed.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# A mutant whose tests take that many times as long as those of the tree as it is hangs, which is noticed as well.
PATIENCE = 3
TEST_BYTES = 4 << 30  # of a mutant that would otherwise take the machine's memory
# The files of tests that take seconds come last, so that only a mutation that nothing else notices waits for them.
SLOW_TESTS = ["attempt_simulation_test", "balancing_simulation_test", "config_property_test"]


class Mutation(NamedTuple):
    file: str
    text: str  # occurs exactly once
    replacement: str
    breaks: str  # the rule


DEADLINE, ELIGIBILITY = "core/attempt_deadline.cpp", "core/eligibility.cpp"
SOCKET, OUTBOX, WORKER_LOOP = "server/socket.cpp", "server/outbox.cpp", "server/worker_loop.cpp"
LOOP, VISIT, ROUTE = "core/attempt_loop.cpp", "core/group_visit.cpp", "core/itinerary.cpp"
HEALTH, RECOURSE, BUDGET = "core/health.cpp", "core/recourse.cpp", "core/retry_budget.cpp"
SELECTION, HINTS, CLASSIFY, RELAY = "core/selection.cpp", "core/hints.cpp", "core/classify.cpp", "core/stream_relay.cpp"
HEDGE, HELD, RESUME = "core/attempt_hedge.cpp", "core/held_call.cpp", "core/attempt_resume.cpp"
TRANSCRIPT, PATTERN = "core/stream_transcript.cpp", "core/event_pattern.cpp"
LEASE = "core/limit_lease.cpp"
LOTTERY = "core/lottery.cpp"
LIVE, LOAD, STRATEGY = "core/live_deployment.cpp", "core/deployment_load.cpp", "core/strategy.cpp"

MUTATIONS = [
    # --- what a deployment's failures do to it
    Mutation(HEALTH, "if (extends && until <= until_) return HealthChange::none;", "",
             "a bench is never shortened"),
    Mutation(HEALTH, "result.callable = over && !result.probing;", "result.callable = over;",
             "one request probes, the rest stay away"),
    Mutation(HEALTH, "if (probe) ++failed_probes_;", "",
             "each failed probe doubles the bench"),
    Mutation(HEALTH, "if (permit.generation != generation_) return HealthChange::none;", "",
             "a success from before a bench does not close it"),
    Mutation(HEALTH, "failures * 2 > requests", "failures > requests",
             "most of the last minute's calls open the breaker"),
    Mutation(HEALTH, "if (failure.hint) return cools;", "",
             "any failure with a hint benches for as long as it says"),
    Mutation(HEALTH, "if (consecutive_failures_ >= bounds::kBreakerConsecutive) return true;", "",
             "three failures in a row open the breaker"),
    Mutation(HEALTH, "if (holds_probe(permit)) probe_out_ = false;", "(void)permit;",
             "a probe's place is given back"),
    Mutation(HEALTH, "bounds::kCooldownJitter * uniform(random)", "0.0 * uniform(random)",
             "a little jitter keeps instances from returning together"),
    Mutation(HEALTH, "if (in_flight_ > 0) --in_flight_;", "",
             "in-flight counts return to zero"),
    Mutation(HEALTH, "return used.total(now) > allowed;", "return used.total(now) >= allowed;",
             "allowed_fails failures are tolerated, the next benches"),
    # --- what a failure leaves open to the request
    Mutation(RECOURSE, "case ErrorClass::quota_exhausted:\n      return {AskAgain::never,",
             "case ErrorClass::quota_exhausted:\n      return {AskAgain::once,",
             "an exhausted quota is not asked again"),
    Mutation(RECOURSE, "{AskAgain::never, Elsewhere::content_policy_fallbacks}", "{AskAgain::never, Elsewhere::anywhere}",
             "rejected content goes only where it may"),
    Mutation(RECOURSE, "if (asked_again >= bounds::kJitteredAsks) return step;", "",
             "a persistent 429 is not hammered by a stroke of luck"),
    Mutation(RECOURSE, "if (failure.client_deadline) return {AskAgain::never, Elsewhere::nowhere};", "",
             "a client's own deadline ends its request"),
    Mutation(VISIT, "return named || failed.asked_again == 0;", "return true;",
             "what is asked again once is asked again once"),
    Mutation(VISIT, "std::min(retries_allowed(failed), bounds::kAskAgain)", "std::max(retries_allowed(failed), bounds::kAskAgain)",
             "num_retries bounds asking again"),
    Mutation(VISIT, "for (const FailedDeployment& failed : failed_) excluded.push_back(failed.deployment);", "",
             "nobody is tried twice while somebody untried is left"),
    Mutation(VISIT, "failure.hint ? failure.hint->delay : backoff(", "false ? Duration::zero() : backoff(",
             "a hint is waited for"),
    Mutation(BUDGET, "if (static_cast<double>(held_) + 1.0 > allowed)", "if (static_cast<double>(held_) > allowed)",
             "retries stay within their budget"),
    Mutation(BUDGET, "if (held_ > 0) --held_;", "",
             "the retry budget is given back"),
    # --- hedging
    Mutation(BUDGET, "hedges_saved_ = std::max(hedges_saved_ - 1.0, 0.0);", "",
             "at most the configured share of requests is hedged"),
    Mutation(BUDGET, "if (hedges_saved_ < kWhole || !draw(now)) return false;",
             "if (hedges_saved_ < kWhole) return false;\n  (void)draw(now);",
             "hedges draw on the retry budget"),
    Mutation(HEDGE, "hedged_ = true;", "",
             "a request is hedged once"),
    Mutation(HEDGE, "if (winner.visit != &visit()) itinerary_.go_ahead();", "",
             "a fallback that answers as a hedge is the group that answered"),
    Mutation(HEDGE, "records_.push_back(other->held.outrun(now));", "(void)now;",
             "the leg that lost is cancelled and put on record"),
    Mutation(HEDGE, "if (other == &first_) other->visit->note_outrun(other->call.deployment);", "",
             "a deployment that was too slow is not asked again while another is left"),
    Mutation(HELD, "if (leg_ == attempt::Leg::first) note_silence(now);", "note_silence(now);",
             "only the leg that was waited for has shown how slow it is"),
    Mutation(HELD, "change_ = HealthChange::none;\n  return permit_", "return permit_",
             "each call's record tells only of its own effects"),
    Mutation(LOOP, "if (calling()) return Continue{};  // the other leg may still answer", "",
             "while one leg is under way the other's failure is not the end"),
    # --- the attempt loop
    Mutation(HELD, "if (!judged_) fleet_.give_back(*permit_);\n  fleet_.end(*permit_);\n}",
             "if (!judged_) fleet_.give_back(*permit_);\n}",
             "a client that leaves gives its permit back"),
    Mutation(LOOP, "if (committed_ == CommitPoint::content_sent) {\n    visited", "if (false) {\n    visited",
             "after content was sent only an exact continuation is called"),
    Mutation(RESUME, "if (!event.resumable || !config_.stream_recovery", "if (!config_.stream_recovery",
             "what cannot be continued exactly is not continued"),
    Mutation(RESUME, "if (rejected || unheeded)", "if (rejected)",
             "a prefix that was not heeded means asking afresh"),
    Mutation(RESUME, "event.by_prefix && ", "",
             "a prefix is used only where it is exact"),
    Mutation(TRANSCRIPT, "return trusted_ || compared < telling;", "return true;",
             "a leg that may repeat the text is not taken to continue it"),
    Mutation(TRANSCRIPT, "if (!facts.role.empty()) edits", "if (false) edits",
             "the role is told once"),
    Mutation(LOOP, "return fresh_calls_ + kept < most;", "return fresh_calls_ < most + kept;",
             "calls are bounded by max_attempts, and the last is kept for a fallback"),
    Mutation(LOOP, "if (end && now >= *end) return give_up(now);", "if (end && now < begun_) return give_up(now);",
             "timeouts.total bounds all attempts together"),
    Mutation(LOOP, "&visited == &itinerary_.first() && (!first_failure_", "(!first_failure_",
             "the client is told the first group's error"),
    Mutation(LOOP, "!result.retry_after && records_.size() > 1", "records_.size() > 1",
             "never both retry-after and x-should-retry: false"),
    Mutation(LOOP, "if (prospect.holdup != Holdup::backoff) waited_ +=", "if (prospect.holdup == Holdup::probe) waited_ +=",
             "all waits together are bounded by max_wait"),
    Mutation(LOOP, "return needed <= patience && !fallback_left();", "return needed <= patience;",
             "a cooldown that nobody named is not waited for while a fallback is left"),
    Mutation(LOOP, "if (last_resort_used_ || !config_", "if (!config_",
             "there is one last resort a request"),
    Mutation(DEADLINE, "call.deadline = *total;", "",
             "a call ends with timeouts.total"),
    Mutation(DEADLINE, "call.client_deadline = patience && *patience < configured;", "call.client_deadline = false;",
             "a deadline that the client shortened is known as the client's"),
    # --- events that are known from the one before
    Mutation(PATTERN, " || text.raw.empty()", "",
             "an event whose text is empty says nothing"),
    Mutation(PATTERN, "if (rest != fixed.substr(obfuscation_at_)) return facts;", "",
             "what stands behind the text is the same"),
    Mutation(PATTERN, "facts.finished.any() || facts.usage.known", "facts.usage.known",
             "an event that ends a choice is not learned"),
    Mutation(PATTERN, "json.size() > bounds::kEventPatternBytes || ", "",
             "a large event is not kept"),
    Mutation(PATTERN, " || !facts.role.empty()", "",
             "an event that names the role is not learned"),
    Mutation(PATTERN, "  fixed_.clear();\n", "",
             "behind an event that is not ordinary nothing is known"),
    # --- where to go
    Mutation(ELIGIBILITY, "if (by_tags_) close_if_empty(Closed::by_tags);", "",
             "a request whose tags nobody takes is refused"),
    Mutation(ELIGIBILITY, "*window < traits_->least_input_tokens;", "false;",
             "a window that a request is known not to fit is passed by"),
    Mutation(ROUTE, "if (traits_.options.disable_fallbacks) return nullptr;", "",
             "disable_fallbacks keeps a request with its model"),
    Mutation(VISIT, "if (traits_->options.num_retries) return *traits_->options.num_retries;", "",
             "num_retries of a request outranks the configured one"),
    Mutation(ROUTE, "if (fallbacks() >= config_.router.max_fallbacks) return nullptr;", "",
             "max_fallbacks bounds the groups entered"),
    Mutation(ROUTE, "if (!current().content_rejected()) {", "{",
             "rejected content is not offered to whoever was next anyway"),
    Mutation(ROUTE, "!ahead_.empty() && ahead_.front().model() == *model", "!ahead_.empty()",
             "a fallback that was looked at for a hedge is entered only if it is still the next"),
    Mutation(ROUTE, "if (!ahead_.empty() && ahead_.front().model() != *model) ahead_.clear();", "",
             "a hedge goes only where the failures met meanwhile allow"),
    Mutation(ROUTE, "leave_current();\n  heed_failures_so_far(ahead", "heed_failures_so_far(ahead",
             "a group whose fallback was asked as a hedge has its other fallbacks still to be tried"),
    Mutation(ROUTE, "heed_failures_so_far(ahead_.front());", "",
             "a model that was too small is not asked in a fallback, whenever that was looked at"),
    Mutation(SELECTION, "if (tier > best_tier) continue;", "",
             "the lowest order is asked first"),
    Mutation(SELECTION, "context.fleet.availability(deployment, now).callable;",
             "(context.fleet.availability(deployment, now), true);",
             "a deployment in cooldown is not picked"),
    Mutation(SELECTION, "&&\n         std::ranges::count(context.excluded, deployment) == 0;", ";",
             "a deployment that failed the request is not picked"),
    Mutation(SELECTION, "return candidate != *first;", "return (void)candidate, true;",
             "adaptive compares two, not one with itself"),
    Mutation(LOTTERY, "if (by_weight && std::ranges::any_of(members, unasked)) return;", "",
             "weights that no entry asked for are not drawn by where an entry's own would count"),
    Mutation(LOTTERY, "std::erase_if(members, [&](DeploymentIndex i) { return tier_of(i) != first; });", "",
             "only the first tier is drawn from"),
    Mutation(LOTTERY, "== RoutingStrategy::adaptive && drained", "== RoutingStrategy::adaptive && false",
             "a weight of 0 keeps a deployment from adaptive's draws"),
    Mutation(LOTTERY, "price(deployment) > cheapest", "false",
             "cost-based routing draws the cheapest"),
    Mutation(SELECTION, "context_.delivery, now_) <= 0.0;", "context_.delivery, now_) >= 0.0;",
             "who is drawn for having the least has nothing"),
    # --- limits and strategies
    Mutation(LIVE, "availability.callable = availability.callable && room.left(now);", "",
             "a deployment at its limit is not picked"),
    Mutation(LOAD, "limits.parallel && in_flight >= *limits.parallel;",
             "limits.parallel && in_flight > *limits.parallel;",
             "max_parallel_requests is never exceeded"),
    Mutation(LOAD, "expected_ += tokens;", "(void)tokens;",
             "tokens of calls in flight count towards tpm"),
    # --- limits that instances share
    Mutation(LEASE, "account->granted_at = account->statement_at;", "account->granted_at = account->spent;",
             "what was spent while a statement was under way is spent of its answer"),
    Mutation(LEASE, "if (giving_) hold_nothing();  // it", "// it",
             "what is asked back is given back, whatever is granted meanwhile"),
    Mutation(LEASE, "if (!rules(now)) hold_nothing();", "",
             "what was held before an outage is not held after it"),
    Mutation(LEASE, "valid_until_ = stated_at_ + bounds::kLeaseLength;", "valid_until_ = now + bounds::kLeaseLength;",
             "a lease ends here no later than in the ledger"),
    Mutation(LEASE, "return !asked_at_ || now - *asked_at_ < bounds::kLeasePatience;", "return true;",
             "no request waits for a ledger that is slow"),
    Mutation(LEASE, "(alone_ && left >= 1)", "left >= 1",
             "only who holds all that is left begins a call that may exceed it"),
    Mutation(LEASE, "if (now < kept_until_ || (waited_for(now)", "if ((waited_for(now)",
             "what a waiting request got is not given away before it comes back"),
    Mutation(STRATEGY, "(load.in_flight + 1.0) *", "1.0 *",
             "adaptive weighs calls in flight"),
    Mutation(STRATEGY, "* (bounds::kLowHeadroom / headroom)", "+ 0.0 * headroom",
             "adaptive spares a rate limit that runs out"),
    # --- what happened
    Mutation(HINTS, "return *amount <= Duration::zero() ? Remaining::none : Remaining::some;", "return Remaining::none;",
             "a limit that is not exhausted does not say when to come back"),
    Mutation(HINTS, "exhausted = std::max(exhausted.value_or(*delay), *delay);",
             "exhausted = std::min(exhausted.value_or(*delay), *delay);",
             "of several exhausted limits the last one counts"),
    Mutation(CLASSIFY, "if (report.means(CodeMeaning::rate_limit)) return ErrorClass::rate_limit;", "",
             "a code that says rate limit makes one, whatever the status"),
    Mutation(CLASSIFY, "if (status == 400 && report.means(CodeMeaning::credential)) return ErrorClass::authentication;", "",
             "a 400 about the gateway's credential is not the client's mistake"),
    Mutation(RELAY, "finished_.any() && finished_ == choices_", "finished_.any()",
             "every choice that was begun must have been finished"),
    Mutation(RELAY, "if (held_.size() > bounds::kHeldStreamBytes) start_relaying();", "",
             "what is held of a stream is bounded"),
    # --- what sockets write within a round
    Mutation(SOCKET, "if (is_open() && !owes() && loop_", "if (is_open() && loop_",
             "nothing is taken behind what the kernel had no room for"),
    Mutation(SOCKET, "if (!flush()) ec = asio::error::would_block;", "",
             "what was put off goes first"),
    Mutation(SOCKET, "if (owes()) end_loudly(true);", "",
             "a cut answer does not end like a whole one"),
    Mutation(SOCKET, "unsent_.reset();\n  end_waits(kNothingWrong);", "unsent_.reset();",
             "whoever waits for a socket learns that the kernel refused what it had taken"),
    Mutation(SOCKET, "if (unsent_) send_rest();", "",
             "what the kernel had no room for is sent once it has"),
    Mutation(OUTBOX, "if (letter_count_ == letters_.size() || bytes > bytes_.size() - used_) hand_over();", "",
             "no more is put off than there is room for"),
    Mutation(WORKER_LOOP, "~Close() { outbox.hand_over_and_close(); }", "~Close() {}",
             "what was put off goes out at the end of the round"),
]


def misplaced() -> list[str]:
    """The mutations whose text does not occur exactly once."""
    found = []
    for mutation in MUTATIONS:
        count = (ROOT / mutation.file).read_text().count(mutation.text)
        if count != 1:
            found.append(f"{mutation.file}: {count} times, not once: {mutation.text!r}")
    return found


def copy_tree(tree: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        source, target = ROOT / name, tree / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # What is equal keeps its time, so that a second run builds little.
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


def run(tree: Path, *command: str, seconds: float | None = None, bytes_: int = resource.RLIM_INFINITY) -> bool:
    with open(tree / "build/mutation.log", "a") as log:
        print("$", *command, file=log, flush=True)
        try:
            return subprocess.run(command, cwd=tree, stdout=log, stderr=log, timeout=seconds, preexec_fn=lambda:
                                  resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))).returncode == 0
        except subprocess.TimeoutExpired:
            return False


def build(tree: Path, jobs: str) -> bool:
    return run(tree, "cmake", "--build", "--preset", "debug", "--parallel", jobs, "--target", "unit_tests")


def what_fails(tree: Path, seconds: float | None = None) -> str | None:
    """The first test that fails or takes longer, or None if all pass."""
    quick = "".join(f"~[#{file}]" for file in SLOW_TESTS)
    results = tree / "build/mutation.results"
    for tests in [quick, *(f"[#{file}]" for file in SLOW_TESTS)]:
        results.unlink(missing_ok=True)
        if run(tree, "build/debug/unit_tests", "--abort", "--filenames-as-tags", "--reporter", "console",
               "--reporter", f"automake::out={results}", tests, seconds=seconds, bytes_=TEST_BYTES):
            continue
        lines = results.read_text().splitlines() if results.exists() else []
        failed = [line.split("FAIL ", 1)[1] for line in lines if "FAIL " in line]
        return failed[0] if failed else f"a crash or no end, after {len(lines)} tests"
    return None


def fate(tree: Path, mutation: Mutation, jobs: str, seconds: float) -> tuple[str, str]:
    """What became of the mutation, and the test that noticed it."""
    path = tree / mutation.file
    original = path.read_text()
    path.write_text(original.replace(mutation.text, mutation.replacement))
    try:
        if not build(tree, jobs):
            return "did not build", ""
        failed = what_fails(tree, seconds)
        return ("killed", f" <- {failed}") if failed else ("SURVIVED", "")
    finally:
        path.write_text(original)


def chosen(arguments: argparse.Namespace) -> list[tuple[int, Mutation]]:
    numbers = set[int]()
    for part in (arguments.range or "1-").split(","):
        first, dash, last = part.partition("-")
        numbers.update(range(int(first), int(last or (len(MUTATIONS) if dash else first)) + 1))
    return [(number, mutation) for number, mutation in enumerate(MUTATIONS, 1)
            if number in numbers and (arguments.only in mutation.file or arguments.only in mutation.breaks)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only look for the mutations' texts")
    parser.add_argument("--tree", type=Path, default=ROOT / "build/mutation", help="where the copy is kept")
    parser.add_argument("--jobs", default="2", help="compilers at once")
    parser.add_argument("--only", default="", help="only mutations whose file or rule contains this")
    parser.add_argument("--range", default="", metavar="NUMBERS", help="only these of the list, such as 12,20-30,70-")
    arguments = parser.parse_args()

    if lost := misplaced():
        print(*lost, sep="\n")
        return 1
    if arguments.check:
        print(f"{len(MUTATIONS)} mutations, each in its place")
        return 0

    tree = arguments.tree.resolve()
    (tree / "build").mkdir(parents=True, exist_ok=True)
    copy_tree(tree)
    if not (run(tree, "cmake", "--preset", "debug") and build(tree, arguments.jobs)):
        print(f"the tree does not build as it is; see {tree}/build/mutation.log")
        return 1
    begun = time.monotonic()
    if failed := what_fails(tree):
        print(f"the tree does not pass as it is: {failed}; see {tree}/build/mutation.log")
        return 1

    patience = PATIENCE * (time.monotonic() - begun)
    killed, selected = 0, chosen(arguments)
    for number, mutation in selected:
        begun = time.monotonic()
        what, failed = fate(tree, mutation, arguments.jobs, patience)
        killed += what == "killed"
        seconds = time.monotonic() - begun
        print(f"{number:3} {what:13} {seconds:4.0f} s  {mutation.file}: {mutation.breaks}{failed}", flush=True)
    print(f"{killed} of {len(selected)} mutations killed")
    return 0 if killed == len(selected) else 1


if __name__ == "__main__":
    sys.exit(main())
