"""Just enough C++ to cut a file into statements and look at those with a co_await.

g++ 12 destroys twice what a brace-initialiser or a lambda makes inside a full expression that suspends, so that no
such statement may contain either. It is a reader of this project's own style, not a compiler.
"""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple

SKIPPED = re.compile(
    r"""
      //[^\n]*                                        # comments
    | /\*.*?\*/
    | R"(?P<mark>[^()\s\\"]{0,16})\(.*?\)(?P=mark)"   # raw strings
    | "(?:\\.|[^"\\\n])*"
    | (?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'             # not the separators of 1'000
    """,
    re.VERBOSE | re.DOTALL,
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
TOKEN = re.compile(r"[A-Za-z_]\w*|\d(?:[\w.']|[eEpP][+-])*|::|->|\[\[|\]\]|\S")

CONTROL = {"if", "while", "for", "switch", "catch"}
# What may stand between a function's parameters and its body, or before a block of its own.
BEFORE_BLOCK = {")", ";", "{", "}", ":", "else", "do", "try", "const", "override", "final", "noexcept", "mutable", "]"}
TYPE_HEADS = {"namespace", "struct", "class", "enum", "union", "extern"}
CLOSING = {"(": ")", "{": "}", "[": "]", "[[": "]]"}


class Token(NamedTuple):
    text: str
    line: int


def blank(match: re.Match[str]) -> str:
    """What is skipped keeps its lines; a literal leaves a name behind, so that `"x"[0]` stays a subscript."""
    text = match.group()
    return ("" if text.startswith("/") else " literal ") + "\n" * text.count("\n") or " "


def strip_comments_and_strings(text: str) -> str:
    return SKIPPED.sub(blank, text)


def tokenise(text: str) -> list[Token]:
    bare = DIRECTIVE.sub(lambda match: "\n" * match.group().count("\n"), strip_comments_and_strings(text))
    tokens = []
    line, position = 1, 0
    for match in TOKEN.finditer(bare):
        line += bare.count("\n", position, match.start())
        position = match.start()
        tokens.append(Token(match.group(), line))
    return tokens


class Statement:
    """The tokens of one full expression, or of the head of a block."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.braces = False
        self.lambdas = False

    def faults(self) -> Iterator[tuple[int, str]]:
        texts = [token.text for token in self.tokens]
        if "co_await" not in texts:
            return
        line = self.tokens[texts.index("co_await")].line
        if self.braces:
            yield line, "a brace-initialiser in a statement with co_await: name the value first"
        if self.lambdas:
            yield line, "a lambda in a statement with co_await: name it first"
        if re.search(r"\bauto(?: const)?(?: &)*(?: const)? \[", " ".join(texts)):
            yield line, "a structured binding of a co_await: bind a named result"


class Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.found: list[tuple[int, str]] = []

    def block(self) -> None:
        """Reads statements up to the `}` that closes this block, or to the end of the file."""
        statement = Statement()
        while self.at < len(self.tokens) and self.tokens[self.at].text != "}":
            statement = self.step(statement, depth=0)
        self.end(statement)
        self.at += 1

    def step(self, statement: Statement, depth: int) -> Statement:
        """Takes one token, or one bracket with all that is in it; returns the statement that goes on."""
        token = self.tokens[self.at]
        if token.text == "{":
            return self.brace(statement, depth)
        if token.text in CLOSING:
            return self.bracket(statement, depth)
        self.at += 1
        if token.text == ";":
            self.end(statement)
            return Statement()
        statement.tokens.append(token)
        return statement

    def bracket(self, statement: Statement, depth: int) -> Statement:
        opening = self.tokens[self.at]
        before = statement.tokens[-1].text if statement.tokens else ";"
        if opening.text == "[" and not re.fullmatch(r"\w+|\)|\]", before) or before in {"return", "co_return"}:
            statement.lambdas |= opening.text == "["
        is_control = depth == 0 and (before in CONTROL or before == "constexpr")
        self.at += 1
        statement.tokens.append(opening)
        while self.at < len(self.tokens) and self.tokens[self.at].text != CLOSING[opening.text]:
            statement = self.step(statement, depth + 1)
        if self.at < len(self.tokens):
            statement.tokens.append(self.tokens[self.at])
            self.at += 1
        if is_control:
            # What follows the head of an `if` or a loop is a statement of its own.
            self.end(statement)
            statement = Statement()
            statement.tokens.append(Token(")", opening.line))
        return statement

    def brace(self, statement: Statement, depth: int) -> Statement:
        opens_block = self.opens_block(statement, depth)
        opening = self.tokens[self.at]
        self.at += 1
        if opens_block:
            if depth == 0 and not statement.lambdas:
                self.end(statement)
                self.block()
                return Statement()
            self.block()  # a lambda's body: the statement goes on behind it
            statement.tokens.append(Token("}", opening.line))
            return statement
        statement.braces = True
        statement.tokens.append(opening)
        while self.at < len(self.tokens) and self.tokens[self.at].text != "}":
            statement = self.step(statement, depth + 1)
        statement.tokens.append(Token("}", opening.line))
        self.at += 1
        return statement

    def opens_block(self, statement: Statement, depth: int) -> bool:
        texts = [token.text for token in statement.tokens]
        if depth > 0 and not statement.lambdas:
            return False
        if not texts or texts[-1] in BEFORE_BLOCK:
            return depth == 0 or texts[-1] not in {":", ";", "{", "}"}
        # A trailing return type: `) -> Type<T> {`.
        for text in reversed(texts):
            if text == "->":
                return True
            if not re.fullmatch(r"\w+|::|[<>,*&]", text):
                break
        return depth == 0 and bool(TYPE_HEADS & set(texts)) and not {"=", "("} & set(texts)

    def end(self, statement: Statement) -> None:
        self.found += statement.faults()


def find_unsafe_awaits(text: str) -> list[tuple[int, str]]:
    """Line and reason of each statement with a co_await that g++ 12 may compile wrongly."""
    reader = Reader(tokenise(text))
    while reader.at < len(reader.tokens):
        reader.block()
    return reader.found
