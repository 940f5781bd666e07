"""Source, IR and assembly in colours: tokens of pygments under the few classes that the style sheet knows."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from pygments.lexers import get_lexer_by_name
from pygments.token import Token

# The first that a token is a kind of.
CLASSES: tuple[tuple[Any, str], ...] = (
    (Token.Comment, "c"),
    (Token.Keyword, "k"),
    (Token.Operator.Word, "k"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "m"),
    (Token.Name.Function, "f"),
    (Token.Name.Decorator, "f"),
    (Token.Name.Label, "f"),
)


def lines_of(text: str, language: str) -> list[str]:
    """The lines of a text as HTML, each complete in itself. `language` is a name that pygments knows."""
    lines: list[list[str]] = [[]]
    for kind, value in _tokens(text, language):
        for k, piece in enumerate(value.split("\n")):
            if k:
                lines.append([])
            if piece:
                lines[-1].append(f'<span class="{kind}">{escape(piece)}</span>' if kind else escape(piece))
    return ["".join(parts) for parts in lines]


def block(text: str, language: str) -> str:
    """A whole text as HTML, for a `pre`."""
    return "\n".join(lines_of(text.rstrip("\n"), language))


def _tokens(text: str, language: str) -> Iterator[tuple[str, str]]:
    lexer = get_lexer_by_name(language, ensurenl=False, stripnl=False)
    for token, value in lexer.get_tokens(text):
        yield next((name for base, name in CLASSES if token in base), ""), value
