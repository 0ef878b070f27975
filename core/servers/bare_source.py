"""Python source without what only its readers need: user data has 16 KB, and the commented source is here."""

from __future__ import annotations

import ast
import io
import tokenize


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def bare_source(source: str) -> str:
    """Return `source` without docstrings, comments and blank lines; it does the same.

    Lines are cut from the text, not written anew from the syntax tree, so that the result is the same
    under every version of Python.
    """
    lines: list[str | None] = list(source.splitlines())
    inside_text: set[int] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno and node.end_lineno > node.lineno:
            inside_text.update(range(node.lineno, node.end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            row, column = token.start
            lines[row - 1] = token.line[:column].rstrip()
    for index, line in enumerate(lines):
        if line is not None and not line.strip() and index + 1 not in inside_text:
            lines[index] = None
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        texts = [statement for statement in body if _is_docstring(statement)]
        for statement in texts:
            first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
            lines[first:last] = [None] * (last - first)
        if texts and len(texts) == len(body) and not isinstance(node, ast.Module):
            lines[texts[0].lineno - 1] = " " * texts[0].col_offset + "pass"
    return "".join(f"{line}\n" for line in lines if line is not None)
