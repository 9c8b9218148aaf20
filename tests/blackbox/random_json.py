"""Random JSON text, not values: odd spellings of numbers, escapes, white space and key order are
the point."""

from __future__ import annotations

import random

SPACES = ["", "", "", " ", "  ", "\n", "\t", "\r\n", " \n\t"]
NUMBERS = [
    "0", "-0", "0.0", "-0.0e-0", "1E400", "-1e-400", "1.10", "1e2", "1E+2", "12345678901234567890123456789",
    "0.1000000000000000055511151231257827021181583404541015625", "-9223372036854775809", "18446744073709551616",
]  # fmt: skip
STRING_PIECES = [
    "plain", "späße", "漢字", "🌊👩‍💻", "\\u00e9", "\\uD83C\\uDF0A", "\\/", "/", "\\\\", "\\\"", "\\n\\t\\b\\f\\r",
    "\\u0000", "\u007f", "\u2028", "data: [DONE]", "}{][,:", "model", "   ",
]  # fmt: skip
KEY_PIECES = [
    "x",
    "Ключ",
    "a b",
    "",
    "\\u006b",
    "🔑",
    "metadata",
    "extra_body",
    "null",
    "seed",
    "user",
    "1",
]


class RandomJson:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def space(self) -> str:
        return self.random.choice(SPACES)

    def string(self, pieces: list[str] = STRING_PIECES) -> str:
        count = self.random.randrange(4)
        return '"' + "".join(self.random.choice(pieces) for _ in range(count)) + '"'

    def value(self, depth: int = 0) -> str:
        kinds = ["number", "string", "string", "literal"] + (
            ["array", "object", "object"] if depth < 6 else []
        )
        kind = self.random.choice(kinds)
        if kind == "number":
            return self.random.choice(NUMBERS)
        if kind == "string":
            return self.string()
        if kind == "literal":
            return self.random.choice(["true", "false", "null"])
        if kind == "array":
            items = [self.spaced(self.value(depth + 1)) for _ in range(self.random.randrange(5))]
            return "[" + ",".join(items) + (self.space() if not items else "") + "]"
        members = [
            self.member(self.string(KEY_PIECES), depth) for _ in range(self.random.randrange(5))
        ]
        return "{" + ",".join(members) + (self.space() if not members else "") + "}"

    def spaced(self, text: str) -> str:
        return self.space() + text + self.space()

    def member(self, key: str, depth: int) -> str:
        return self.spaced(key) + ":" + self.spaced(self.value(depth + 1))

    def chat_body(self, model_literal: str, mark: str) -> tuple[str, str]:
        """A chat request whose model is spelled `model_literal`, and the same text with `mark` in
        its place."""
        keys = [
            f'"unknown_{number}_{self.random.choice(KEY_PIECES)}"'
            for number in range(self.random.randrange(8))
        ]
        members = [self.member(key, 0) for key in keys]
        members.append(
            self.spaced('"messages"') + ":" + f'[{{"role":"user","content":{self.string()}}}]'
        )
        place = self.random.randrange(len(members) + 1)
        before, behind = self.spaced('"model"') + ":" + self.space(), self.space()

        def build(literal: str) -> str:
            parts = members[:place] + [before + literal + behind] + members[place:]
            return opening + "{" + ",".join(parts) + "}" + closing

        opening, closing = self.space(), self.space()
        return build(model_literal), build(mark)


def random_pieces(source: random.Random, data: bytes, most: int) -> list[bytes]:
    """`data` cut at random places into at most `most` pieces; cuts fall inside characters and line
    ends too."""
    count = source.randrange(1, most)
    cuts = sorted({source.randrange(1, len(data)) for _ in range(count)}) if len(data) > 1 else []
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:])]
