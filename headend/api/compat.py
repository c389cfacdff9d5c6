"""What in a newer OpenAPI document would break a client that was written for the older one. Pure.

Of what callers send nothing may become narrower: no parameter or field required that was not, none
gone, no value refused that was taken. Of what they get nothing may become wider: no field gone or
optional that always came, no type or null that was not there. Additions are fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Judge: TypeAlias = Callable[[str, "Schema", "Schema"], Iterator[str]]

Schema: TypeAlias = "dict[str, Any]"
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def breaking(old: Schema, new: Schema) -> list[str]:
    """One line for each thing that breaks clients; empty when nothing does."""
    found: list[str] = []
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            newer = new["paths"].get(path, {}).get(method)
            if newer is None:
                found.append(f"{name}: gone")
            else:
                found += _operation(name, operation, newer, _Pair(old, new))
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two documents, to look references up in."""

    old: Schema
    new: Schema

    def resolved(self, old: Schema, new: Schema) -> tuple[Schema, Schema]:
        return _target(self.old, old), _target(self.new, new)


def _target(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _operation(name: str, old: Schema, new: Schema, pair: _Pair) -> Iterator[str]:
    before = {(p["in"], p["name"]): p for p in old.get("parameters", ())}
    after = {(p["in"], p["name"]): p for p in new.get("parameters", ())}
    for key, parameter in before.items():
        if key not in after:
            yield f"{name}: the parameter {key[1]} is gone"
        else:
            place = f"{name}: parameter {key[1]}"
            yield from _walk(place, parameter["schema"], after[key]["schema"], pair, _sent)
    for key, parameter in after.items():
        was = before.get(key, {}).get("required", False)
        if parameter.get("required") and not was:
            yield f"{name}: the parameter {key[1]} is required now"
    yield from _bodies(name, old, new, pair)
    yield from _answers(name, old, new, pair)


def _bodies(name: str, old: Schema, new: Schema, pair: _Pair) -> Iterator[str]:
    before, after = old.get("requestBody", {}), new.get("requestBody", {})
    if after.get("required") and not before.get("required"):
        yield f"{name}: a body is required now"
    for kind, content in before.get("content", {}).items():
        if kind not in after.get("content", {}):
            yield f"{name}: takes no {kind} any more"
        else:
            newer = after["content"][kind].get("schema", {})
            yield from _walk(f"{name}: body", content.get("schema", {}), newer, pair, _sent)


def _answers(name: str, old: Schema, new: Schema, pair: _Pair) -> Iterator[str]:
    for status, answer in old["responses"].items():
        if not status.startswith("2"):
            continue
        newer = new["responses"].get(status)
        if newer is None:
            yield f"{name}: answers no {status} any more"
            continue
        for kind, content in answer.get("content", {}).items():
            if kind not in newer.get("content", {}):
                yield f"{name}: gives no {kind} any more"
            else:
                schema = newer["content"][kind].get("schema", {})
                yield from _walk(f"{name}: {status}", content.get("schema", {}), schema, pair, _got)


def _walk(
    place: str, old: Schema, new: Schema, pair: _Pair, judge: _Judge, *, seen: tuple[str, ...] = ()
) -> Iterator[str]:
    """What a judge says of a schema, and of each field and item that stayed."""
    if str(old.get("$ref")) in seen:
        return
    seen = (*seen, str(old.get("$ref", "-" * len(seen))))
    old, new = pair.resolved(old, new)
    yield from judge(place, old, new)
    for field, schema in old.get("properties", {}).items():
        newer = new.get("properties", {}).get(field)
        if newer is None:
            yield f"{place}/{field}: gone"
        else:
            yield from _walk(f"{place}/{field}", schema, newer, pair, judge, seen=seen)
    if "items" in old and "items" in new:
        yield from _walk(f"{place}/-", old["items"], new["items"], pair, judge, seen=seen)


def _sent(place: str, old: Schema, new: Schema) -> Iterator[str]:
    """What callers send: the new schema must take all that the old one took."""
    if lost := _types(old) - _types(new):
        yield f"{place}: takes no {', '.join(sorted(lost))} any more"
    if "enum" in new and (gone := set(old.get("enum", ())) - set(new["enum"])):
        yield f"{place}: refuses {', '.join(map(str, sorted(gone)))} now"
    if "enum" in new and "enum" not in old:
        yield f"{place}: takes a few values only now"
    yield from _narrower(place, old, new)
    for field in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{place}/{field}: required now"


def _narrower(place: str, old: Schema, new: Schema) -> Iterator[str]:
    for key in (*_LOWER, *_UPPER):
        if key not in new:
            continue
        sign = 1 if key in _LOWER else -1
        if key not in old or sign * new[key] > sign * old[key]:
            yield f"{place}: {key} is {new[key]} now"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place}: another pattern, {new['pattern']}"


def _got(place: str, old: Schema, new: Schema) -> Iterator[str]:
    """What callers get: the new schema must promise all that the old one promised."""
    if more := _types(new) - _types(old):
        yield f"{place}: may be {', '.join(sorted(more))} now"
    for field in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
        yield f"{place}/{field}: comes no more for certain"


def _types(schema: Schema) -> set[str]:
    """JSON types that a schema allows; empty: any, which is taken as the same as any other any."""
    parts = schema.get("anyOf") or schema.get("oneOf") or [schema]
    found: set[str] = set()
    for part in parts:
        kind = part.get("type", "object" if "$ref" in part else "")
        found |= set(kind) if isinstance(kind, list) else {kind}
    return found - {""}
