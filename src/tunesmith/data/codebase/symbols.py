"""What of a file the other files' context is made of: its language, package, imports and offers, packed.

A repository of 200,000 files has 200,000 of these in memory at once, so each is a text and some compressed bytes until
it is looked at: 1 kB, where the tuples would be 6.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from tunesmith.data.codebase.imports import Import, imports, package
from tunesmith.data.codebase.offers import Offer, offers
from tunesmith.data.codebase.parsing import Parsed


@dataclass(frozen=True, slots=True)
class FileSymbols:
    """Small enough for a worker to send and for an index to keep."""

    language: str
    package: str
    packed_imports: str = field(repr=False)
    packed_offers: bytes = field(repr=False)

    @property
    def imports(self) -> tuple[Import, ...]:
        return tuple(map(_import, self.packed_imports.split("\n"))) if self.packed_imports else ()

    @property
    def offers(self) -> tuple[Offer, ...]:
        if not self.packed_offers:
            return ()
        lines = zlib.decompress(self.packed_offers).decode().split("\n")
        return tuple(Offer(*line.split("\t")) for line in lines)

    def __reduce__(self) -> tuple[object, ...]:
        return FileSymbols, (self.language, self.package, self.packed_imports, self.packed_offers)


def symbols(parsed: Parsed) -> FileSymbols:
    return pack(parsed.language.name, package(parsed), imports(parsed), offers(parsed))


def pack(language: str, of_package: str, imported: Iterable[Import], offered: Iterable[Offer]) -> FileSymbols:
    """Of parts, none of which has a tab or a line end in it."""
    lines = "\n".join("\t".join((i.module, str(i.level), str(len(i.names)), *i.names, *i.aliases)) for i in imported)
    text = "\n".join(map("\t".join, offered))
    return FileSymbols(language, of_package, lines, zlib.compress(text.encode(), 1) if text else b"")


def _import(line: str) -> Import:
    module, level, count, *names = line.split("\t")
    return Import(module, tuple(names[: int(count)]), int(level), tuple(names[int(count) :]))
