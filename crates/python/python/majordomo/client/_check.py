"""Answers are checked against their declared types before a caller sees them.

Members that are not declared stay as they are; one that is missing or of another type makes the answer unreadable.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

from . import _wire
from ._http import Malformed

Check = Callable[[object, str], None]
"""Raises :class:`Malformed` for a value of another type; the text says where the value is."""

_known: dict[Any, Check] = {}


def _no_number(text: str) -> object:
    raise Malformed(f"it has {text}, which is no JSON")


def decode(body: bytes) -> object:
    """The value of a JSON text. Raises :class:`Malformed`."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise Malformed("its JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(f"it is no JSON: {error}") from None


def check(name: str, value: object) -> Any:
    """``value``, if it is of the type ``name`` of :mod:`majordomo.client._wire` (``list[NAME]`` too)."""
    _checker(_type(name))(value, "")
    return value


def _type(name: str) -> Any:
    if name.startswith("list["):
        return list[_type(name[5:-1])]  # type: ignore[misc]
    return dict[str, Any] if name == "object" else getattr(_wire, name)


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def _wrong(where: str, expected: str, value: object) -> Malformed:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:60] + "..."
    return Malformed(f"`{where or 'the answer'}` should be {expected}, and is {shown}")


def _checker(kind: Any) -> Check:
    if kind not in _known:
        _known[kind] = _new_checker(kind)
    return _known[kind]


def _new_checker(kind: Any) -> Check:
    if kind is Any:
        return lambda value, where: None
    if kind in _NAMES:
        return _scalar(kind)
    if is_typeddict(kind):
        return _members(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return _items(_checker(arguments[0]))
    if origin is dict:
        return _values(_checker(arguments[1]))
    if origin is UnionType:
        return _either([argument for argument in arguments])
    raise TypeError(f"no check for {kind}")


def _scalar(kind: type) -> Check:
    allowed = (int, float) if kind is float else (kind,)

    def check_scalar(value: object, where: str) -> None:
        if type(value) not in allowed:
            raise _wrong(where, _NAMES[kind], value)

    return check_scalar


def _either(kinds: list[type]) -> Check:
    def check_either(value: object, where: str) -> None:
        if type(value) not in kinds:
            raise _wrong(where, " or ".join(_NAMES[kind] for kind in kinds), value)

    return check_either


def _items(check_item: Check) -> Check:
    def check_items(value: object, where: str) -> None:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        for item_idx, item in enumerate(value):
            check_item(item, f"{where}[{item_idx}]")

    return check_items


def _values(check_value: Check) -> Check:
    def check_values(value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        for name, member in value.items():
            check_value(member, f"{where}.{name}")

    return check_values


def _members(kind: Any) -> Check:
    hints = get_type_hints(kind)
    members = [(name, _checker(hint), name in kind.__required_keys__) for name, hint in hints.items()]

    def check_members(value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(where, "an object", value)
        for name, check_member, is_required in members:
            path = f"{where}.{name}" if where else name
            if name in value:
                check_member(value[name], path)
            elif is_required:
                raise Malformed(f"`{path}` is missing")

    return check_members
