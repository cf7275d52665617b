"""Which parameters Stripe accepts, taken from the parameter types of the official SDK.

The SDK's TypedDicts are compiled into small shapes once per operation, closed on the way: an unknown key is refused at any
depth, and an enum takes its named values only (the SDK types it as `Literal[…] | str`, which would take anything).
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import stripe.params
from stripe import RequestOptions
from stripe._stripe_object import UntypedStripeObject  # no public name; it is one arm of the type of every metadata parameter
from typing_extensions import is_typeddict  # the SDK's TypedDict is not typing's

from sandbox.stripe_emulator import rules
from sandbox.stripe_emulator.errors import StripeError, below, missing


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, integer, boolean, float or decimal."""

    kind: type


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some strings. The empty string among them means that the parameter can be unset."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    of: Shape


@dataclass(frozen=True, slots=True)
class Free:
    """A mapping whose keys the caller chooses: metadata."""

    of: Shape


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with known keys."""

    known: Mapping[str, Shape]
    required: frozenset[str]


@dataclass(frozen=True, slots=True)
class Either:
    """Any of several shapes."""

    arms: tuple[Shape, ...]


Shape = Scalar | Choice | Sequence | Free | Fields | Either

_UNSET = Choice(("",))

# Parameters that an empty string unsets although the SDK's types do not say so; None, or the names below. Observed of
# `email`, `phone` and the parts of `shipping`; that it goes for the others alike is not documented.
_Names = Mapping[str, "_Names | None"]
_ADDRESS: _Names = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
_UNSETTABLE: Mapping[str, _Names] = {
    "customers.update": {
        **dict.fromkeys(("description", "email", "name", "phone")),
        "address": _ADDRESS,
        "shipping": {"address": _ADDRESS, "phone": None},
    }
}


def check(operation: str, params: Mapping[str, Any]) -> None:
    """Refuse `params` unless Stripe would take them for `operation`, as far as that can be told without its state.

    operation: service and method as in the SDK, for example `subscription_schedules.create`.
    params: what is handed to the SDK, in Python types. None is refused: the SDK drops it silently, so it never clears anything.
    Raises StripeError naming the bracket path; ValueError for an operation that the SDK does not have.
    """
    _read(shape(operation), dict(params), "", wire=False)
    rules.check(operation, params)


def read(operation: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """The decoded form of a request, checked and turned into Python types; without the cross-field rules."""
    values: dict[str, Any] = _read(shape(operation), dict(form), "", wire=True)
    return values


@cache
def shape(operation: str) -> Shape:
    """The shape of an operation's parameters."""
    service, _, method = operation.partition(".")
    words = [*service.removesuffix("s").split("_"), *method.split("_"), "params"]
    name = "".join(word.capitalize() for word in words)
    found = getattr(stripe.params, name, None)
    if not method or found is None:
        raise ValueError(f"{operation}: the SDK has no {name}")
    return _unsettable(_compiled(found), _UNSETTABLE.get(operation, {}))


def _unsettable(shape: Shape, names: _Names | None) -> Shape:
    """The same shape, in which what is named can be unset."""
    match shape:
        case _ if names is None:
            return Either((shape, _UNSET))
        case Fields():
            known = {name: _unsettable(of, names[name]) if name in names else of for name, of in shape.known.items()}
            return Fields(known, shape.required)
        case Either():
            return Either(tuple(_unsettable(arm, names) for arm in shape.arms))
    return shape


def _compiled(hint: Any) -> Shape:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (NotRequired, Required):
        return _compiled(arguments[0])
    if is_typeddict(hint):
        return _fields(hint)
    if origin is Literal:
        return Choice(tuple(str(value) for value in arguments))
    if origin is list:
        return Sequence(_compiled(arguments[0]))
    if origin is dict:
        # A value in metadata may be empty (it unsets the key), so a free key's string is not held to be non-empty.
        return Free(_compiled(arguments[1]))
    if origin in (Union, types.UnionType):
        return _either(arguments)
    if hint in (str, int, bool, float, Decimal):
        return Scalar(hint)
    raise TypeError(f"the SDK has a parameter of type {hint!r}, which is new here")


def _either(arms: tuple[Any, ...]) -> Shape:
    kept = [_compiled(arm) for arm in arms if get_origin(arm) is not UntypedStripeObject]
    if any(isinstance(arm, Choice) and any(arm.values) for arm in kept):
        kept = [arm for arm in kept if arm != Scalar(str)]
    return kept[0] if len(kept) == 1 else Either(tuple(kept))


def _fields(params: Any) -> Fields:
    # RequestOptions refers to two names that exist for type checkers only; its keys are options, not parameters.
    names = {**vars(sys.modules[params.__module__]), "StripeContext": object, "Mapping": Mapping}
    hints = get_type_hints(params, globalns=names, include_extras=True)
    options = RequestOptions.__annotations__
    known = {name: _compiled(hint) for name, hint in hints.items() if name not in options}
    return Fields(known, frozenset(params.__required_keys__ - set(options)))


def _read(shape: Shape, value: Any, path: str, *, wire: bool) -> Any:
    match shape:
        case Fields():
            return _read_fields(shape, value, path, wire=wire)
        case Either():
            return _read_either(shape, value, path, wire=wire)
        case Free():
            return _read_free(shape, value, path, wire=wire)
        case Sequence():
            values = _as_list(value, path, wire=wire)
            return [_read(shape.of, entry, f"{path}[{index}]", wire=wire) for index, entry in enumerate(values)]
        case Choice():
            if isinstance(value, str) and value in shape.values:
                return value
            if value == "":
                raise _empty(path)
            raise StripeError(f"Invalid {path}: must be one of {_listed(shape.values)}", param=path)
        case Scalar():
            return _read_scalar(shape.kind, value, path, wire=wire)


def _read_fields(shape: Fields, value: Any, path: str, *, wire: bool) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _empty(path) if value == "" else StripeError("Invalid object", param=path)
    unknown = [below(path, name) for name in value if name not in shape.known]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        message = f"Received unknown parameter{plural}: {', '.join(unknown)}"
        raise StripeError(message, code="parameter_unknown", param=unknown[0])
    values = {name: _read(shape.known[name], entry, below(path, name), wire=wire) for name, entry in value.items()}
    for name in shape.known:
        if name in shape.required and name not in values:
            raise missing(below(path, name))
    return values


def _read_either(shape: Either, value: Any, path: str, *, wire: bool) -> Any:
    if value == "":
        if any(isinstance(arm, Choice) and "" in arm.values for arm in shape.arms):
            return ""
        raise _empty(path)
    nested = isinstance(value, (Mapping, list))
    arms = [arm for arm in shape.arms if arm != _UNSET and nested == isinstance(arm, (Fields, Free, Sequence))]
    problem = StripeError("Invalid value", param=path)
    for arm in arms:
        try:
            return _read(arm, value, path, wire=wire)
        except StripeError as error:
            problem = error
    raise problem


def _read_free(shape: Free, value: Any, path: str, *, wire: bool) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _empty(path) if value == "" else StripeError("Invalid object", param=path)
    if shape.of != Scalar(str):
        return {key: _read(shape.of, entry, below(path, key), wire=wire) for key, entry in value.items()}
    for key, entry in value.items():
        if not isinstance(key, str) or not isinstance(entry, str):
            raise StripeError("Metadata values must be strings.", param=below(path, str(key)))
    rules.metadata(value, path)
    return dict(value)


def _read_scalar(kind: type, value: Any, path: str, *, wire: bool) -> Any:
    if value == "":
        raise _empty(path)
    if kind is str:
        if isinstance(value, str):
            return value
        raise StripeError(f"Invalid string: {value}", code="parameter_invalid_string", param=path)
    if wire:
        return _parsed(kind, value, path)
    # In Python a boolean is an integer, and an integer will do where a float is asked for.
    fits = isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise _invalid(kind, value, path)
    return value


def _parsed(kind: type, value: Any, path: str) -> Any:
    text = value if isinstance(value, str) else ""
    if kind is bool and text in ("true", "false"):
        return text == "true"
    # Stripe: "Invalid integer: 1.0"; int() would also take blanks and underscores.
    if kind is int and re.fullmatch(r"-?\d+", text, re.ASCII):
        return int(text)
    if kind in (float, Decimal) and re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", text, re.ASCII):
        return kind(text)
    raise _invalid(kind, value, path)


def _as_list(value: Any, path: str, *, wire: bool) -> list[Any]:
    if not wire and isinstance(value, list):
        return value
    if wire and isinstance(value, Mapping) and all(key.isdecimal() for key in value):
        return [value[key] for key in sorted(value, key=int)]
    raise _empty(path) if value == "" else StripeError("Invalid array", param=path)


def _invalid(kind: type, value: Any, path: str) -> StripeError:
    if kind is int:
        return StripeError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
    return StripeError(f"Invalid {'boolean' if kind is bool else 'decimal'}: {value}", param=path)


def _empty(path: str) -> StripeError:
    return StripeError(
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=path,
    )


def _listed(values: tuple[str, ...]) -> str:
    named = [value for value in values if value]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])}, or {named[-1]}"
