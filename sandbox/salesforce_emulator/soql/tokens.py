"""A SOQL statement cut into tokens, and what a string literal means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sandbox.salesforce_emulator.errors import SalesforceError

TokenKind = Literal["name", "string", "datetime", "date", "number", "symbol", "end"]

LONGEST_STATEMENT = 100_000
LONGEST_STRING = 4_000

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)(?![\dT])
    | (?P<number>[+-]?\d+(?:\.\d+)?)(?![\w.-])
    | (?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)
    | (?P<symbol><=|>=|!=|<>|[=<>(),:])
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_PLAIN_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"'}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the statement; `text` as written, `position` counted from 0."""

    kind: TokenKind
    text: str
    position: int

    def says(self, *words: str) -> bool:
        """Whether this is one of the keywords or symbols, in any case."""
        return self.kind in ("name", "symbol") and self.text.upper() in words


def complaint(code: str, statement: str, position: int, message: str) -> SalesforceError:
    """An error that points into the statement. Salesforce: the passage, a caret below it, row and column, then the message."""
    row = statement.count("\n", 0, position) + 1
    column = position - (statement.rfind("\n", 0, position) + 1) + 1
    start = max(0, position - 30)
    passage = " ".join(statement[start : position + 30].splitlines())
    text = f"\n{passage}\n{' ' * (position - start)}^\nERROR at Row:{row}:Column:{column}\n{message}"
    return SalesforceError(code, text, fields=None)


def tokenize(statement: str) -> list[Token]:
    """The tokens of a statement, ended by one of kind `end`. Raises MALFORMED_QUERY for what is no token."""
    if len(statement) > LONGEST_STATEMENT:
        message = f"SOQL statements cannot be longer than {LONGEST_STATEMENT} characters."
        raise complaint("MALFORMED_QUERY", statement, 0, message)
    tokens = []
    position, end = 0, len(statement.rstrip())
    while position < end:
        match = _TOKEN.match(statement, position)
        if match is None or match.lastgroup is None:
            position += len(statement[position:]) - len(statement[position:].lstrip())
            raise complaint("MALFORMED_QUERY", statement, position, f"unexpected token: '{statement[position]}'")
        tokens.append(_token(match, statement))
        position = match.end()
    return [*tokens, Token("end", "<EOF>", end)]


def _token(match: re.Match[str], statement: str) -> Token:
    text, position = match.group(match.lastgroup or 0), match.start(match.lastgroup or 0)
    match match.lastgroup:
        case "string":
            if len(text) > LONGEST_STRING + 2:
                message = f"String literals cannot exceed {LONGEST_STRING} characters"
                raise complaint("MALFORMED_QUERY", statement, position, message)
            return Token("string", text[1:-1], position)
        case "datetime" | "date" | "number" | "name" as kind:
            return Token(kind, text, position)
        case _:
            return Token("symbol", text, position)


def unescape(literal: str) -> str | None:
    r"""The text that a string literal (without its quotes) means; None where it holds an escape that SOQL does not know.

    Salesforce: backslash before one of `\ ' " n r t b f` or `uXXXX`.
    """
    return None if _unknown_escapes(literal, "") else _ESCAPE.sub(_escaped, literal)


def like_pattern(literal: str) -> re.Pattern[str] | None:
    """The pattern that a LIKE literal means: `%` any text, `_` any character, both escaped by a backslash."""
    if _unknown_escapes(literal, "%_"):
        return None
    pieces = re.findall(r"\\u[0-9A-Fa-f]{4}|\\.|.", literal, re.DOTALL)
    wildcards = {"%": ".*", "_": "."}
    pattern = "".join(wildcards.get(piece) or re.escape(_ESCAPE.sub(_escaped, piece)) for piece in pieces)
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


def _unknown_escapes(literal: str, allowed: str) -> bool:
    names = (match.group(1) for match in _ESCAPE.finditer(literal))
    return any(len(name) == 1 and name not in _PLAIN_ESCAPES and name not in allowed for name in names)


def _escaped(match: re.Match[str]) -> str:
    name = match.group(1)
    return chr(int(name[1:], 16)) if len(name) > 1 else _PLAIN_ESCAPES.get(name, name)
