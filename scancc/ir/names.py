"""Names that are not taken yet."""

from __future__ import annotations


def fresh_name(base: str, taken: set[str]) -> str:
    """`base`, or `base_2`, `base_3`... where that is taken; the name is taken from now on."""
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}_{n}"
    taken.add(name)
    return name
