"""Python source without what only its readers need: user data has 16 KB, and the commented source is here."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

Cut = tuple[int, int, int]
"""A line (from 0) and the bytes to cut from it."""
FSTRING_START: Final = getattr(tokenize, "FSTRING_START", None)
FSTRING_END: Final = getattr(tokenize, "FSTRING_END", None)
"""Since Python 3.12 an f-string is several tokens; before, one."""
LAYOUT: Final = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_for_checkers(statement: ast.stmt) -> bool:
    """Whether this is `if TYPE_CHECKING: …`, which never runs."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Name)
        and statement.test.id == "TYPE_CHECKING"
    )


def _annotations(tree: ast.AST, lines: list[bytes]) -> Iterator[Cut]:
    """Yield where the annotations of parameters, results and variables stand, those on one line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation and node.annotation.end_lineno == node.lineno:
            start = node.col_offset + len(node.arg.encode())
            yield node.lineno - 1, start, node.annotation.end_col_offset or 0
        elif isinstance(node, ast.FunctionDef) and node.returns:
            row, end = node.returns.lineno - 1, node.returns.end_col_offset or 0
            if node.returns.end_lineno == row + 1:
                yield row, lines[row].rindex(b" ->", 0, node.returns.col_offset), end
        elif isinstance(node, ast.AnnAssign) and node.value and node.annotation.end_lineno == node.lineno:
            yield node.lineno - 1, node.target.end_col_offset or 0, node.annotation.end_col_offset or 0


def _comments(source: str) -> Iterator[Cut]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            yield token.start[0] - 1, len(token.line[: token.start[1]].encode()), len(token.line.encode())


def _without_what_is_for_checkers(source: str) -> str:
    """Return `source` without `if TYPE_CHECKING` and the imports that nothing else needs any more."""
    tree = ast.parse(source)
    lines: list[str | None] = list(source.splitlines(keepends=True))

    def replace(statement: ast.stmt, text: str | None) -> None:
        first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
        lines[first:last] = [text, *[None] * (last - first - 1)]

    tree.body, left_out = (
        [statement for statement in tree.body if _is_for_checkers(statement) is kind]
        for kind in (False, True)
    )
    for statement in left_out:
        replace(statement, None)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        kept = [name for name in statement.names if (name.asname or name.name).split(".")[0] in used]
        if len(kept) < len(statement.names):
            statement.names = kept
            replace(statement, ast.unparse(statement) + "\n" if kept else None)
    return "".join(line for line in lines if line is not None)


def _with_tabs(line: bytes) -> bytes:
    bare = line.lstrip(b" ")
    tabs, spaces = divmod(len(line) - len(bare), 4)
    return b"\t" * tabs + b" " * spaces + bare


def _close_up(source: str) -> str:
    """Return `source` without the spaces and line breaks that only people need between its words."""
    begins = [0]
    for line in source.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))

    def place(position: tuple[int, int]) -> int:
        return begins[position[0] - 1] + position[1]

    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type != tokenize.NL  # a line break within brackets
    ]
    parts, done, inside_text = [], 0, 0
    for one, other in pairwise(tokens):
        inside_text += (one.type == FSTRING_START) - (one.type == FSTRING_END)
        end, start = place(one.end), place(other.start)
        if inside_text or {one.type, other.type} & LAYOUT or end == start:
            continue
        both = one.string[-1] + other.string[0]
        parts += [source[done:end], " " if re.fullmatch(r"\w\w|[\"'][\"']", both) else ""]
        done = start
    return "".join([*parts, source[done:]])


def bare_source(source: str) -> str:
    """Return `source` without docstrings, comments, annotations and layout, and indented by tabs.

    It does the same. Parts are cut from the text, not written anew from the syntax tree, so that the
    result is the same under every version of Python.
    """
    lines: list[bytes | None] = list(source.encode().splitlines())
    tree = ast.parse(source)
    inside_text: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            inside_text.update(range(node.lineno, node.end_lineno or node.lineno))
    known = [line or b"" for line in lines]
    for row, start, end in sorted([*_annotations(tree, known), *_comments(source)], reverse=True):
        line = lines[row] or b""
        lines[row] = (line[:start] + line[end:]).rstrip()
    for row, blank in enumerate(lines):
        if blank is not None and row not in inside_text:
            lines[row] = _with_tabs(blank) if blank.strip() else None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        texts = [statement for statement in body if _is_docstring(statement)]
        for statement in texts:
            first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
            lines[first:last] = [None] * (last - first)
        if texts and len(texts) == len(body) and not isinstance(node, ast.Module):
            lines[texts[0].lineno - 1] = _with_tabs(b" " * texts[0].col_offset + b"pass")
    text = b"".join(line + b"\n" for line in lines if line is not None).decode()
    return _close_up(_without_what_is_for_checkers(text))
