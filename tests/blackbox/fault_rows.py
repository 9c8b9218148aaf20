"""The fault catalogue: what goes wrong, and what must hold then. Tests claim rows by
`@pytest.mark.row("U14")`; `reliability.py` makes docs/reliability.md of both.

A row without tests says in `later` why it does not apply yet. `differs` names what Spillway does on
purpose otherwise than is often recommended. `unit` names cases of the unit tests, or rules of the
architecture test, that hold a part of the row.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_SPEND = "There is no spend database yet. "


@dataclass(frozen=True)
class Row:
    id: str
    fault: str
    holds: str
    differs: str = ""
    later: str = ""
    unit: tuple[str, ...] = ()


CLIENT = [
    Row("C1", "JSON that is cut or malformed", "400, no provider asked"),
    Row("C2", "no body, or one that is no object", "400"),
    Row("C3", "a key given twice", "400 where the gateway reads the key; else the provider's business"),
    Row("C4", "JSON nested without end", "400, flat memory and stack"),
    Row("C5", "numbers beyond double and 64 bits", "passed on digit by digit; 400 in settings of our own"),
    Row("C6", "invalid UTF-8, UTF-16, a BOM, lone surrogates", "400, or passed on as it is; never 5xx"),
    Row("C7", "members of the wrong type", "400 that names the member"),
    Row("C8", "no model, or one nobody configured", "400 or 404, no provider asked"),
    Row("C9", "control characters, escaped as JSON wants", "passed on byte for byte"),
    Row("C10", "a body announced as too long", "413 before it is read, and the connection closed"),
    Row("C11", "a chunked body that grows too long", "413 at the limit, and the connection closed"),
    Row("C12", "a hundred bodies of full size at once", "answered or refused; memory bounded"),
    Row("C13", "a compressed body", "415"),
    Row("C14", "another content type", "read as JSON"),
    Row("C15", "a head that drips", "408 at its deadline, however it drips"),
    Row("C16", "a body that drips", "408 at its deadline, however it drips"),
    Row("C17", "a connection nobody uses", "closed without a byte"),
    Row("C18", "a reader that stops reading its stream", "the provider is paused; cut in the end"),
    Row("C19", "a client that leaves before the answer", "the provider's call ends within a second"),
    Row("C20", "a client that leaves in the middle of a stream", "the call ends, logged as 499"),
    Row(
        "C21", "a client that closes its sending side only", "taken to have left",
        differs="Often it is served; here a FIN ends the provider's costly work.",
    ),
    Row("C22", "a reset in the middle of the body", "no provider asked"),
    Row("C23", "several requests sent at once", "answered in their order"),
    Row("C24", "more connections than allowed", "the others are served"),
    Row(
        "C25", "a flood under one key", "other keys get their turn; what waits too long or finds no place is 503",
        differs="Keys have no rates of their own yet; then: 429 with retry-after for this key alone.",
    ),
    Row("C26", "too many fields, or too long", "431, and the connection closed"),
    Row("C27", "a target too long", "414"),
    Row("C28", "no key, a wrong or a hostile one", "401 with a challenge, no provider asked"),
    Row("C29", "the key in the query", "401, and the query is not logged"),
    Row("C30", "a Host that is no host", "400"),
    Row("C31", "paths dressed up", "what is authenticated is what is routed"),
    Row("C32", "an address or a key of the client's in the body", "refused on top, inert below; never called"),
    Row("C33", "hop-by-hop and forwarded fields", "none reaches the provider"),
    Row("C34", "a stream wanted, but JSON accepted", "a stream"),
    Row("C35", "Expect: 100-continue and no body", "one 100, then 408"),
    Row("C36", "a streaming client of HTTP/1.0", "events up to the end of the connection"),
    Row("C37", "HEAD, OPTIONS, PUT", "HEAD like GET; preflight; else 405 with Allow"),
    Row("C38", "TLS mistakes of a client", "an alert or a 400 in plain text, and a close; bounded in time"),
    Row("C39", "one idempotency key twice", "passed on to the provider; no answer is kept here"),
]  # fmt: skip

PROVIDER = [
    Row("U1", "refuses connections", "another is asked at once; else 502; benched from the third"),
    Row("U2", "never accepts", "504 at the connect deadline, or another's answer"),
    Row("U3", "has no address", "502, or another's answer"),
    Row("U4", "has several addresses, some of them dead", "the next address is tried"),
    Row("U5", "shows a bad certificate, or none", "502 and nothing was sent; never without verification"),
    Row("U6", "resets a new connection before any byte", "another's answer; else asked once more, then 502"),
    Row("U7", "closes a kept connection as it is used", "asked again at once, counted against nobody"),
    Row("U8", "answers junk for a head", "another's answer, else 502"),
    Row("U9", "sends a head without end", "another's answer, else 502"),
    Row("U10", "leaves in the middle of the head", "another's answer, else 502"),
    Row("U11", "leaves before the announced length", "another's answer, else 502; nothing cut is passed on"),
    Row("U12", "leaves between chunks", "another's answer, else 502"),
    Row("U13", "ends a stream before its first event", "an ordinary error, or another's answer"),
    Row(
        "U14", "cuts a stream within an event", "whole events, an error event, no [DONE], no last chunk",
        differs="Where another can finish the very same text, it does.",
    ),
    Row("U15", "ends a stream without saying so", "an error event and no [DONE]"),
    Row("U16", "begins a stream with an error", "the error's own status, or another's answer"),
    Row("U17", "reports an error after content", "an error event in OpenAI's shape, no [DONE]"),
    Row("U18", "answers 200 with an error in it", "the error's class, or another's answer"),
    Row("U19", "answers 200 with HTML or nothing", "502, or another's answer; no HTML"),
    Row("U20", "fails with a page of HTML", "its status in OpenAI's shape; no HTML"),
    Row("U21", "answers 500", "another's answer; else asked once more, then 500"),
    Row("U22", "answers 529", "another's answer, else 503"),
    Row("U23", "answers 503 with retry-after", "another's answer; benched for as long as it says"),
    Row("U24", "answers 429 with seconds", "another's answer; benched for exactly that"),
    Row("U25", "answers 429 with a date, good, past or garbled", "the date by its own clock; else the default"),
    Row("U26", "answers 429 with milliseconds", "they win over seconds"),
    Row("U27", "answers 429 and tells its resets", "the reset of the exhausted kind"),
    Row("U28", "answers 429 in Anthropic's fields", "until the time they name"),
    Row("U29", "answers 429 and says when in the body", "as long as it says"),
    Row("U30", "answers 429 and nothing more", "five seconds, doubling"),
    Row("U31", "answers that the quota is used up", "429, benched for minutes"),
    Row("U32", "names an absurd time", "capped at 300 s; negative and NaN are no hint"),
    Row(
        "U33", "refuses the gateway's key", "another's answer; benched for a minute",
        differs="Its status is kept, the message says whose credential was refused.",
    ),
    Row("U34", "knows the model no more", "another's answer; benched if the code names the model"),
    Row("U35", "refuses the request itself", "passed on; tried nowhere else, counted against nobody"),
    Row(
        "U36", "answers 408, 409", "408 moves on, 409 is the client's",
        differs="425 counts as a mistake of the client's.",
    ),
    Row("U37", "is silent before its head", "504 at the deadline, or another's answer"),
    Row("U38", "falls silent within a stream", "comments meanwhile; an error event at the idle deadline"),
    Row(
        "U39", "drips", "a head or an answer that drips ends at the deadline of the attempt",
        differs="A stream that keeps sending is not cut: long answers are legitimate.",
    ),
    Row(
        "U40", "answers without end", "memory stays bounded, and it ends when the client leaves",
        differs="There is no cap on the length of a stream that its client reads.",
    ),
    Row("U41", "sends an event without end", "cut at 32 MiB, with bounded memory"),
    Row("U42", "compresses though asked not to", "another's answer, else 502; never garbage"),
    Row("U43", "sends 1xx first", "the final answer is delivered"),
    Row("U44", "switches protocols unasked", "another's answer, else 502"),
    Row("U45", "redirects", "502; not followed"),
    Row("U46", "answers 204, 205 or 304", "another's answer, else 502"),
    Row("U47", "speaks HTTP/1.0 up to the close", "delivered"),
    Row("U48", "sends more than its answer", "the answer is delivered, the connection is not kept"),
    Row("U49", "answers before it read the request", "delivered, the upload ends"),
    Row("U50", "contradicts itself about the length", "another's answer, else 502; the connection is closed"),
    Row("U51", "sends data that is no JSON or no UTF-8", "dropped and marked; split characters arrive whole"),
    Row("U52", "writes events in every allowed way", "read as the standard says, passed on byte for byte"),
    Row("U53", "reports no usage", "the answer passes; missing stays missing"),
    Row("U54", "closes connections it keeps idle", "noticed before use, no client sees it"),
    Row("U55", "rests, as all the others do", "429 or 503 with the true seconds, nobody is called"),
    Row(
        "U56", "fails every second time", "no storm: repetition is bounded by a budget",
        unit=("a busy group may have a fifth of its recent requests at once",),
    ),
    Row(
        "U57", "comes back from an outage", "one request probes; the rest follows its success",
        differs="Traffic does not ramp up further: providers are not cold caches.",
    ),
    Row(
        "U58", "is awaited by all at once", "benches end with jitter", unit=("the jitter differs from bench to bench",)
    ),
]  # fmt: skip

SYSTEM = [
    Row("S1", "SIGTERM with streams open", "streams finish in the grace period, or end in an error event; exit 0"),
    Row("S2", "a second signal", "ends the program at once"),
    Row("S3", "a reload under load", "no request fails; running streams keep their configuration"),
    Row("S4", "a reload of a bad file", "the old one stays; the place of the fault is logged, the try counted"),
    Row("S5", "a reload that takes a model or a key away", "what runs finishes; what comes then is 404 or 401"),
    Row("S6", "a certificate or a secret that was replaced", "used from then on, nothing is dropped; a bad one is not"),
    Row("S7", "no descriptors left", "503 or waiting, counted against nobody, back by itself"),
    Row("S8", "memory that runs short", "idle connections go first, then new requests with 503; it lives"),
    Row(
        "S9", "an allocation that fails", "503 for that request, while nothing of its answer is sent; others go on",
        differs="Linux mostly grants memory and kills later; bounds keep it from coming to that (S8, C12, C18).",
    ),
    Row("S10", "the clock jumps", "deadlines and benches do not notice; the Date follows"),
    Row(
        "S11", "the disk is full", "a log that cannot be written costs its lines, no request",
        differs=NO_SPEND + "Then: requests are served, rows wait in a bounded queue, losses are counted.",
    ),
    Row("S12", "the spend database is slow", "", later=NO_SPEND + "Then: no request waits for it."),
    Row(
        "S13", "kill -9 under load", "the next start serves at once",
        differs=NO_SPEND + "Nothing is on disk that could break.",
    ),
    Row(
        "S14", "no Postgres at start", "one that the configuration names is told to be unsupported; nobody waits for it",
        differs=NO_SPEND + "Keys stand in the configuration. Then: known keys are served from the last copy.",
    ),
    Row("S15", "Postgres goes and comes back", "", later=NO_SPEND + "Then: spend is booked exactly once."),
    Row("S16", "Redis is gone", "each instance goes on by what it knows, and tells when it is back"),
    Row("S17", "Redis is slow", "no request waits longer than 200 ms, none once that is known"),
    Row("S18", "Redis is flushed or holds junk", "told again; nothing breaks"),
    Row("S19", "a thousand idle connections", "a few KiB each; others do not notice"),
    Row("S20", "hundreds of streams at once", "each client gets its own, whole"),
    Row(
        "S21", "a worker that hangs", "told after seconds by log, metric and supervisor; the others get the new clients",
        differs="What it was serving waits for it, or for the supervisor's restart.",
    ),
    Row(
        "S22", "nobody reads the log", "lines are dropped and counted, no request waits",
        unit=("a reader of stdout who stalls costs lines, not a worker's time",),
    ),
    Row("S23", "ten thousand models", "starts, and answers for any of them"),
    Row("S24", "hours of churn", "descriptors, memory and places in flight come back to where they were"),
    Row("S25", "an idle connection is dropped while others work", "calls in flight do not notice"),
    Row(
        "S26", "prices that are malformed", "the ones before stay in use; told with their place; an unknown price is not 0",
        differs="Nothing is fetched: prices stand in the configuration.",
    ),
    Row("S27", "an ordinary key at the gateway's own pages", "they only tell; nothing there changes anything"),
    Row(
        "S28", "several gateways beside each other", "their rate limits add up exactly",
        differs=NO_SPEND + "Then: so do costs.",
    ),
]  # fmt: skip

HTTP = [
    Row("R1", "a bare CR, or a bare LF as line end", "400 and close"),
    Row("R2", "empty lines before a request", "one is skipped, more are 400"),
    Row("R3", "space before the first field, folded fields, space before a colon", "400 and close"),
    Row("R4", "a request line beyond 8 KiB", "414; up to it, read"),
    Row("R5", "no Host, two, or an impossible one", "400 and close"),
    Row("R6", "a target with a scheme", "its path is taken"),
    Row("R7", "a target of another form", "400; CONNECT and TRACE 405"),
    Row("R8", "Transfer-Encoding that does not end in chunked, or with HTTP/1.0", "400 and close"),
    Row("R9", "Transfer-Encoding and Content-Length", "400 and close"),
    Row("R10", "a coding nobody knows", "501 or 400, and close"),
    Row("R11", "Content-Length that is no single number", "400 and close"),
    Row("R12", "a chunk size that overflows or is none", "400 or 413, and close"),
    Row("R13", "chunk extensions", "ignored up to 256 bytes, then 400"),
    Row("R14", "trailers", "dropped, never fields"),
    Row("R15", "a body that is not read to its end", "the connection is closed"),
    Row("R16", "requests in a row", "answered in order"),
    Row("R17", "Connection: close", "closed after the answer, what follows is not read"),
    Row("R18", "control bytes in a value", "400 and close"),
    Row("R19", "a head beyond its limits", "431"),
    Row("R20", "a body beyond its limit", "413"),
    Row("R21", "expectations", "100 when the body is wanted; unknown ones 417"),
    Row("R22", "HTTP/1.0", "no chunks, no 1xx, and a close"),
    Row("R23", "HEAD", "the fields of GET, no body"),
    Row("R24", "a known path, another method", "405 with Allow"),
    Row("R25", "401", "says how to authenticate"),
    Row("R26", "answers without a body", "no length, no coding"),
    Row("R27", "every answer", "has a Date"),
    Row("R28", "preflight", "204 and exact origins, none by default"),
    Row("R29", "fields of one hop", "end here, in both directions"),
    Row("R30", "line ends in anything the gateway emits", "no value can end a line"),
    Row("R31", "what nginx refuses", "is refused here as well, but for the cases listed in the test"),
]  # fmt: skip

SECURITY = [
    Row(
        "X1", "keys tried out", "compared in constant time, all of them", unit=("keys are compared in constant time",)
    ),
    Row("X2", "a client's credentials", "reach no provider, under no name"),
    Row("X3", "a provider's fields", "only listed ones reach a client"),
    Row("X4", "addresses in requests", "nobody is called whom the configuration does not name"),
    Row("X5", "secrets in what is written or shown", "nowhere: logs, errors, pages, arguments"),
    Row("X6", "secrets in files", "read by NAME_FILE; faults name the file, never what is in it"),
    Row("X7", "a core dump", "is not made, nor may others attach, unless asked"),
    Row("X8", "TLS to providers", "1.2 or later, chain and name checked, no way around"),
    Row("X9", "listening beyond loopback", "only with a key"),
    Row("X10", "pages of other origins", "none is allowed unless named"),
    Row("X11", "bodies in logs", "never"),
    Row("X12", "labels made by clients", "none: metrics are bounded by the configuration"),
]

SECTIONS = {
    "What clients do": CLIENT,
    "What providers do": PROVIDER,
    "What the machine does": SYSTEM,
    "What HTTP asks of a server": HTTP,
    "What must stay safe": SECURITY,
}
ROWS = {row.id: row for rows in SECTIONS.values() for row in rows}
