"""Requests as nobody should write them, made systematically: a good one, with one thing changed."""

from __future__ import annotations

from edge import BODY, CHAT
from framing import chunk

GET = b"GET /health/liveliness HTTP/1.1\r\nHost: x\r\nX-Some: value\r\nConnection: close\r\n\r\n"
ODD_BYTES = bytes([*range(0x00, 0x21), *b'"#%(),/:;<=>?@[\\]^`{|}', 0x7F, 0x80, 0xA0, 0xC0, 0xFF])

# Where a byte is put: the bytes before which it comes, and its name.
PLACES = {
    "before the method": b"GET ",
    "in the method": b"ET /",
    "before the target": b"/health",
    "in the target": b"alth/",
    "before the version": b"HTTP/",
    "in the version": b".1\r\n",
    "behind the version": b"\r\nHost",
    "before the first field": b"Host:",
    "in the host": b"x\r\n",
    "behind the host": b"\r\nX-Some",
    "before a name": b"X-Some",
    "in a name": b"-Some",
    "before a colon": b": value",
    "behind a colon": b" value",
    "in a value": b"lue\r\n",
    "behind a value": b"\r\nConn",
}

LINE_ENDS = {"LF": b"\n", "CR": b"\r", "CR CR LF": b"\r\r\n", "LF CR": b"\n\r", "a fold": b"\r\n "}
LINES = {"the request line": b"\r\nHost", "Host": b"\r\nX-Some", "a field": b"\r\nConn"}

REQUEST_LINES = [
    "GET", "GET ", "GET /", "GET / ", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ",
    " GET / HTTP/1.1", "GET\t/\tHTTP/1.1", "GET / HTTP/1.1 x", "GET / HTTP", "GET / HTTP/",
    "GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/.1", "GET / HTTP/0.9", "GET / HTTP/1.2",
    "GET / HTTP/2.0", "GET / HTTP/3.0", "GET / HTTP/1.10", "GET / HTTP/01.1", "GET / HTTP/1.01",
    "GET / HTTP/11.1", "GET / http/1.1", "GET / HTTPS/1.1", "GET / HTTP /1.1", "GET / HTTP/ 1.1",
    "GET / HTTP/1 .1", "GET / HTTP/1.1.1", "GET / HTTP/-1.1", "GET / HTTP/1,1", "GET / ICE/1.0",
    "GET /a b HTTP/1.1", "GET x HTTP/1.1", "GET x:443 HTTP/1.1", "GET * HTTP/1.1", "GET ? HTTP/1.1",
    "GET http:// HTTP/1.1", "GET http:///x HTTP/1.1", "GET http:/x HTTP/1.1", "GET ://x HTTP/1.1",
    "GET http://x:y/ HTTP/1.1", "GET http://x y/ HTTP/1.1", "GET 1http://x/ HTTP/1.1",
    "GET http://[::1/ HTTP/1.1", "GET http://x\\y/ HTTP/1.1", "GET http://u:p@x/ HTTP/1.1",
    "CONNECT x:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "get / HTTP/1.1",
    "GET/ HTTP/1.1", "G@T / HTTP/1.1", "PRI * HTTP/2.0", "GET /%00 HTTP/1.1", "GET /%2 HTTP/1.1",
    "GET /%zz HTTP/1.1", "GET /../x HTTP/1.1", "GET /%2e%2e/x HTTP/1.1", "GET /a/../../x HTTP/1.1",
]  # fmt: skip

HOSTS = [
    "", " ", "a b", "a,b", "a/b", "a?b", "a#b", "a@b", "u:p@x", "x:", "x:y", "x:80:80", "x:99999999",
    "x:-1", "[::1", "[::1]]", "[::1]x", "[]", "[zz]", "::1", "x\\y", "<x>", "x..y", "x.", ".x", "..",
    "%41", "a\tb", '"x"', "x;y", "x{y", "x|y", "x^y", "x`y", "\xe9", "x/../y", "http://x",
]  # fmt: skip

LENGTHS = [
    "", " ", "+5", "-5", "-0", "0x5", "5x", "x5", "5 5", "5,5", "5, 5", "5,6", "5;", "5.0", "5e0", "1_0",
    "05", "00005", "5 ", "\t5", "99999999999999999999999", "18446744073709551616", "9223372036854775808",
    "18446744073709551621", "\xb2", "five", "'5'", "(5)", "5\x0b",
]  # fmt: skip

CODINGS = [
    "", "chunked,", ",chunked", "chunked, chunked", "chunked, identity", "identity", "identity, chunked",
    "gzip", "gzip, chunked", "chunked, gzip", "xchunked", "chunkedx", "chunked;q=1", "chunked ;", "chunke",
    '"chunked"', "chun ked", "\x0bchunked", "chunked\x0b", "\xa0chunked", "chunked\x00", "CHUNKED",
    "Chunked", "deflate", "trailers", "chunked\tx", "x, chunked", "chunked\r\n , identity",
]  # fmt: skip

CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "no digit": b"g\r\nhello\r\n0\r\n\r\n",
    "a digit and more": b"5g\r\nhello\r\n0\r\n\r\n",
    "a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "two numbers": b"5 5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "too many digits": b"00000000000000000000005\r\nhello\r\n0\r\n\r\n",
    "an overflow": b"ffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "an overflow to five": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "more than its size": b"3\r\nhello\r\n0\r\n\r\n",
    "less than its size": b"7\r\nhello\r\n0\r\n\r\n",
    "no end of data": b"5\r\nhello0\r\n\r\n",
    "LF behind its size": b"5\nhello\r\n0\r\n\r\n",
    "CR behind its size": b"5\rhello\r\n0\r\n\r\n",
    "LF behind its data": b"5\r\nhello\n0\r\n\r\n",
    "CR behind its data": b"5\r\nhello\r0\r\n\r\n",
    "LF at the end": b"5\r\nhello\r\n0\n\n",
    "a NUL in its size": b"5\0\r\nhello\r\n0\r\n\r\n",
    "a control byte in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "a CR in an extension": b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
    "a LF in an extension": b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
    "a long extension": b"5;" + b"a" * 70000 + b"\r\nhello\r\n0\r\n\r\n",
    "a bad trailer": b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    "a trailer without a name": b"5\r\nhello\r\n0\r\n: x\r\n\r\n",
    "a NUL in a trailer": b"5\r\nhello\r\n0\r\nA: \0\r\n\r\n",
}

FIELDS = {
    "two hosts": b"Host: y",
    "the same host twice": b"Host: x",
    "a field without a colon": b"Nonsense",
    "a field without a name": b": x",
    "a name of spaces": b" : x",
    "a name in brackets": b"(x): y",
    "an underscore in a name": b"X_Y: z",
    "a name beyond ASCII": b"\xc3\xa9: x",
    "a NUL at the end of a value": b"A: b\0",
    "a length without a body": b"Content-Length: x",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 0",
    "two different lengths": b"Content-Length: 0\r\nContent-Length: 5",
    "a length behind a space": b"Content-Length : 0",
    "a coding behind a space": b"Transfer-Encoding : chunked",
    "a length of another spelling": b"CONTENT-LENGTH: -1",
    "a field of 9000 bytes": b"A: " + b"b" * 9000,
    "40000 bytes of fields": b"\r\n".join(b"A%d: " % n + b"b" * 990 for n in range(40)),
    "70000 bytes of fields": b"\r\n".join(b"A%d: " % n + b"b" * 990 for n in range(70)),
    "1500 fields": b"\r\n".join(b"A%d: b" % n for n in range(1500)),
}


def with_field(field: bytes) -> bytes:
    return GET.replace(b"Connection: close", field + b"\r\nConnection: close")


def posted(framing: bytes, body: bytes) -> bytes:
    head = b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return head + b"Content-Type: application/json\r\n" + framing + b"\r\n\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
CHUNKED_BODY = chunk(BODY) + b"0\r\n\r\n"
LENGTH = b"Content-Length: %d" % len(BODY)

FRAMINGS = {
    "length and coding": (LENGTH + b"\r\n" + CHUNKED, CHUNKED_BODY),
    "coding and length": (CHUNKED + b"\r\n" + LENGTH, CHUNKED_BODY),
    "two codings": (CHUNKED + b"\r\n" + CHUNKED, CHUNKED_BODY),
    "a coding and another": (CHUNKED + b"\r\nTransfer-Encoding: identity", CHUNKED_BODY),
    "another coding and chunked": (b"Transfer-Encoding: identity\r\n" + CHUNKED, CHUNKED_BODY),
    "two lengths": (LENGTH + b"\r\n" + LENGTH, BODY),
    "two different lengths": (LENGTH + b"\r\nContent-Length: 3", BODY),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked", CHUNKED_BODY),
    "a coding behind a tab": (b"Transfer-Encoding:\tchunked", CHUNKED_BODY),
}


def all_cases() -> dict[str, bytes]:
    """What is sent, by a name that says what is odd about it."""
    cases = {"nothing": GET, "nothing, posted": posted(LENGTH, BODY)}
    for place, before in PLACES.items():
        for byte in ODD_BYTES:
            at = GET.index(before)
            cases[f"byte {byte:02x} {place}"] = GET[:at] + bytes([byte]) + GET[at:]
    for name, end in LINE_ENDS.items():
        for line, before in LINES.items():
            at = GET.index(before)
            cases[f"{name} behind {line}"] = GET[:at] + end + GET[at + 2 :]
        cases[f"{name} for the empty line"] = GET[:-2] + end
        cases[f"{name} everywhere"] = GET.replace(b"\r\n", end)
    rest = GET[GET.index(b"\r\n") :]
    for line in REQUEST_LINES:
        cases[f"request line {line!r}"] = line.encode("latin-1") + rest
    for host in HOSTS:
        changed = GET.replace(b"Host: x", b"Host: " + host.encode("latin-1"))
        cases[f"host {host!r}"] = changed
    cases["no host"] = GET.replace(b"Host: x\r\n", b"")
    cases["no host, HTTP/1.0"] = GET.replace(b"Host: x\r\n", b"").replace(b"/1.1", b"/1.0")
    for length in LENGTHS:
        cases[f"length {length!r}"] = posted(b"Content-Length: " + length.encode("latin-1"), BODY)
    for coding in CODINGS:
        field = b"Transfer-Encoding: " + coding.encode("latin-1")
        cases[f"coding {coding!r}"] = posted(field, CHUNKED_BODY)
    cases["chunked, HTTP/1.0"] = posted(CHUNKED, CHUNKED_BODY).replace(b"/1.1", b"/1.0")
    for name, body in CHUNKS.items():
        cases[f"chunk with {name}"] = posted(CHUNKED, body)
    for name, field in FIELDS.items():
        cases[f"field: {name}"] = with_field(field)
    for name, (framing, body) in FRAMINGS.items():
        cases[f"framing: {name}"] = posted(framing, body)
    for size in (8000, 9000, 40000):
        cases[f"a target of {size}"] = GET.replace(b"/health", b"/" + b"a" * size)
    return cases
