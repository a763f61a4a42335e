"""Reads lists and mappings that are written in one cell of a table of text.

    literal('["ash", "ant"]')    # as JSON: ["ash", "ant"]
    literal("['ash', 'ant']")    # as Python writes it
    literal("['ash' 'ant']")     # as numpy prints it, and so pandas and `datasets` write it

Nothing that is written there is run.
"""

import ast
import json
import re
import warnings
from typing import Any

_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_PRINTED = re.compile(rf"\[\s*{_TEXT}(?:\s+{_TEXT})+\s*\]", re.DOTALL)


def literal(text: str) -> Any:
    """A list, mapping, number or text that is written down; None if it can't be read.

    Examples:
        >>> literal("{'text': array(['ash', 'ant'], dtype=object)}")
        {'text': ['ash', 'ant']}
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():  # of "\(" in a text
            warnings.simplefilter("ignore")
            return _of_python(text.strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def _of_python(text: str) -> Any:
    if _PRINTED.fullmatch(text):  # Python would join these texts to one
        return [ast.literal_eval(one) for one in re.findall(_TEXT, text, re.DOTALL)]
    return ast.literal_eval(_WithoutArrays().visit(ast.parse(text, mode="eval")))


class _WithoutArrays(ast.NodeTransformer):
    """Puts lists in the place of numpy's arrays, `array([...], dtype=object)`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        is_array = isinstance(node.func, ast.Name) and node.func.id == "array" and node.args
        return self.visit(node.args[0]) if is_array else node
