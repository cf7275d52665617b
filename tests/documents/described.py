"""What the code says of its own fields: the docstring that stands below each."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from types import ModuleType

from pydantic import BaseModel


def meaning(model: type[BaseModel], field: str) -> str:
    """The docstring below a field of a model, in one line; of the nearest class that has one."""
    for one in model.__mro__:
        module = inspect.getmodule(one)
        if module is not None and (text := _docstrings(module).get((one.__name__, field))):
            return text
    raise LookupError(f"{model.__name__}.{field} has no docstring; write one below it")


@cache
def _docstrings(module: ModuleType) -> dict[tuple[str, str], str]:
    found = {}
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    for one in classes:
        for field, text in zip(one.body, one.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                found[one.name, field.target.id] = " ".join(str(text.value.value).split())
    return found
