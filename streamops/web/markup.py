"""HTML from escaped parts.

Rule 1: only `tag` and `join` make Markup from text, and both escape what isn't Markup already.
Rule 2: an attribute's name is code, never data; a link is built by `path`, which quotes each part.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import quote, urlencode

VOID = frozenset({"meta", "link", "input", "br", "hr"})

Attribute = str | int | float | bool | None


class Markup(str):
    """Text that is HTML as it stands."""

    __slots__ = ()


Node = str | int | None | Iterable["Node"]


def join(*nodes: Node) -> Markup:
    """Return nodes as HTML, one after the other; None is nothing, text is escaped."""
    return Markup("".join(html_of(node) for node in nodes))


def html_of(node: Node) -> str:
    """Return a node's HTML."""
    if node is None:
        return ""
    if isinstance(node, Markup):
        return str(node)
    if isinstance(node, str | int):
        return escape(str(node))
    return "".join(html_of(child) for child in node)


def tag(name: str, /, *children: Node, **attributes: Attribute) -> Markup:
    """Return an element.

    Attributes are named with `_` for `-`, and a trailing `_` for a word of Python; None and False
    leave one out, True sets it bare.
    """
    given = "".join(attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def attribute(key: str, value: Attribute) -> str:
    """Return an attribute with a space before it."""
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def path(*parts: str, **query: str | int | None) -> str:
    """Return an absolute path of quoted parts; of the query, what is empty or None is left out."""
    asked = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    route = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{route}?{asked}" if asked else route


def link(text: Node, href: str, **attributes: Attribute) -> Markup:
    """Return a link."""
    return tag("a", text, href=href, **attributes)
