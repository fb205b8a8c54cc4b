"""Tables of the settings and keys of pydantic models, in Markdown."""

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def settings_table(model: type[BaseModel], prefix: str) -> str:
    """Returns a row for each setting: name, default, meaning."""
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *_settings_rows(model, prefix)])


def _settings_rows(model: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        inner = [member for member in members(field.annotation) if issubclass(member, BaseModel)]
        if inner:
            rows += [row for member in inner for row in _settings_rows(member, f"{prefix}{name}.")]
        else:
            default = (
                "required" if field.is_required() else f"`{value_text(field.get_default(call_default_factory=True))}`"
            )
            rows.append(f"| `{prefix}{name}` | {default} | {meaning(field)} |")
    return rows


def keys_table(model: type[BaseModel]) -> str:
    """Returns a row for each key of a JSON file: name, type, meaning."""
    return "\n".join(["| key | type | meaning |", "|---|---|---|", *_keys_rows(model, "", (model,))])


def _keys_rows(model: type[BaseModel], prefix: str, above: tuple[type, ...]) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        rows.append(f"| `{prefix}{name}` | {_type(field.annotation)} | {meaning(field)} |")
        for member in members(field.annotation):
            if isinstance(member, type) and issubclass(member, BaseModel) and member not in above:
                joint = ".*." if get_origin(field.annotation) is dict else "."
                rows += _keys_rows(member, f"{prefix}{name}{joint}", (*above, member))
    return rows


def members(annotation: Any) -> list[type]:
    """Returns the classes inside an annotation: of a union, an optional, a dict, or itself."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation]
    if get_origin(annotation) is Literal:
        return []
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    return [member for argument in get_args(annotation) for member in members(argument)]


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if annotation is type(None):
        return "null"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_type, arguments))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"object of {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(annotation, "any")


def literal(model: type[BaseModel], name: str) -> str:
    """Returns the one value that a field may have."""
    return str(get_args(model.model_fields[name].annotation)[0])


def value_text(value: Any) -> str:
    """Returns a value as a recipe has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return str(value)


def meaning(field: FieldInfo) -> str:
    """Returns what a setting means, for a cell."""
    return (field.description or "").replace("|", "or")


def first_line(model: type[BaseModel]) -> str:
    """Returns the first line of a model's docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]
