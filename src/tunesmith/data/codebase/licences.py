"""Which licence a file of a repository is under: its own words, else those of the nearest folder that states one.

In: the texts of licence files and package descriptions (`may_matter` says which), then a path and what the file itself
states (`licence_texts.in_text`). Out: an SPDX expression and where it was read; `unknown` where nothing is stated. Two
statements of one folder that contradict each other both hold. What a licence allows is for spdx.py to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from tunesmith.data.codebase.languages import language_of
from tunesmith.data.codebase.licence_texts import in_licence, in_text, without_parts
from tunesmith.data.codebase.package_licences import in_description, is_description, listed_in, lists_files
from tunesmith.data.codebase.reuse import Annotation, annotations_of
from tunesmith.data.codebase.spdx import (
    PERMISSIVE,
    PUBLIC_DOMAIN,
    SOME_BSD,
    UNIDENTIFIED,
    UNKNOWN,
    all_of,
    any_of,
    canonical,
    ids_of,
    name_of,
    plain_words,
)


class Licence(NamedTuple):
    """What a file is under, and the file or files that say so."""

    expression: str
    source: str


NO_LICENCE = Licence(UNKNOWN, "")
_MOST_PACKAGES = 8
"""That one file may be of; several list the `__init__.py` of a namespace."""


class Licences:
    """The licences of a repository. Keeps what the texts state, not the texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._stated: dict[str, list[_Stated]] = {}
        self._beside: dict[str, str] = {}
        self._annotations: list[Annotation] = []
        self._installed: dict[str, tuple[str, ...]] = {}
        """Paths -> folders of the packages' descriptions that list them."""
        self._nearest: dict[str, Licence] = {}
        for path in sorted(texts):
            self._take(path, texts[path])

    def of(self, path: str, stated: str) -> Licence:
        """Of a file that states an expression itself ('': none)."""
        if self._beside.get(path):
            return Licence(self._beside[path], f"{path}.license")
        annotation = next((one for one in reversed(self._annotations) if one.fits(path)), None)
        if annotation is not None and annotation.precedence == "override":
            return Licence(annotation.expression, annotation.source)
        if annotation is not None and annotation.precedence == "aggregate" and stated:
            return Licence(all_of([stated, annotation.expression]), f"{path} and {annotation.source}")
        if stated == SOME_BSD:  # `License: BSD, see LICENSE`
            return _agreed(Licence(stated, path), self._around(path), both=False)
        if stated:
            return Licence(stated, path)
        if annotation is not None:
            return Licence(annotation.expression, annotation.source)
        return self._around(path)

    def _take(self, path: str, text: str) -> None:
        kind = _kind(path)
        if kind == _ANNOTATIONS:
            found = annotations_of(path, text)
            self._annotations = sorted([*self._annotations, *found], key=lambda one: len(one.folder))
        elif kind == _LIST:
            for file in listed_in(path, text):
                known = self._installed.get(file, ())
                self._installed[file] = (*known, _folder(path))[:_MOST_PACKAGES]
        elif expression := of_licence_file(path, text):
            if kind == _BESIDE:
                self._beside[path.removesuffix(".license")] = expression
            else:
                folder = _folder(_folder(path)) if kind == _TEXT else _folder(path)
                self._stated.setdefault(folder, []).append(_Stated(path, expression, kind))

    def _around(self, path: str) -> Licence:
        """Of a file that states nothing itself."""
        return self._of_package(path) or self._of_folder(_folder(path))

    def _of_package(self, path: str) -> Licence | None:
        """Of the installed one that lists the file, and lies beside it; what a folder of its own states is nearer."""
        described = [one for one in self._installed.get(path, ()) if one in self._stated]
        folder = _folder(path)
        while described and folder and len(folder) > len(_folder(described[0])):
            if folder in self._stated:
                return None
            folder = _folder(folder)
        found = list(map(self._of_folder, described))
        return Licence(all_of(one.expression for one in found), _places(one.source for one in found)) if found else None

    def _of_folder(self, folder: str) -> Licence:
        """Of the nearest folder upwards that states one."""
        asked = []
        while folder not in self._nearest and folder not in self._stated and folder:
            asked.append(folder)
            folder = _folder(folder)
        if folder not in self._nearest:
            self._nearest[folder] = _of_one_folder(self._stated.get(folder, []))
        found = self._nearest[folder]
        self._nearest.update(dict.fromkeys(asked, found))
        return found


def may_matter(path: str) -> bool:
    """Whether Licences wants the text of the file, by its path."""
    return bool(_kind(path))


def of_licence_file(path: str, text: str) -> str:
    """The expression that a licence file or a package's description states; LicenseRef-Unknown if nothing knows it."""
    kind = _kind(path)
    if kind == _DESCRIPTION:
        return in_description(path, text)
    if kind == _BESIDE:
        return in_text(text)
    if kind == _TEXT and (name := canonical(PurePosixPath(path).stem)) and name != UNIDENTIFIED:
        return name
    if path.lower().endswith((".html", ".htm")):
        text = _MARKUP.sub(" ", text[:_PAGE_CHARACTERS])
    found = in_licence(text)
    return "" if kind in (_PART, _NOTICE, _TEXT) and found == UNIDENTIFIED else found


# What kind of file it is.

_PLAIN = "licence"
_VARIANT = "variant"
"""One of several, called after what it is: LICENSE-MIT, COPYING.GPL."""
_PART = "part"
"""Called after something else: LICENSE-protobuf."""
_NOTICE = "notice"
_TEXT = "text"
"""In a folder of licences, which says what they are, not what is under them."""
_DESCRIPTION = "description"
_ANNOTATIONS = "annotations"
_BESIDE = "beside"
_LIST = "list"
"""The list of an installed package's files."""
_PAGE_CHARACTERS = 200_000


def _kind(path: str) -> str:
    """'' of a file that says nothing on licences."""
    name = PurePosixPath(path).name.lower()
    if name == "reuse.toml" or path.endswith(".reuse/dep5"):
        return _ANNOTATIONS
    if is_description(path):
        return _DESCRIPTION
    if lists_files(path):
        return _LIST
    if path.endswith(".license") and len(name) > len(".license"):
        return _BESIDE
    if _OTHERS.search(name) or not _is_prose(name):
        return ""
    if _LICENCE_FOLDER.search(path) and not name.startswith("readme"):
        return _TEXT
    found = _LICENCE_NAME.fullmatch(_PROSE.sub("", name))
    if found is None:
        return ""
    if found["what"] in ("notice", "copyright"):
        return _NOTICE
    return _kind_by_words(found)


def _kind_by_words(found: re.Match[str]) -> str:
    before, after = found["before"] or "", (found["after"] or "").strip("-_. ")
    if found["what"] == "unlicense":
        return _VARIANT
    if not before and _NO_WORD.fullmatch(after):
        return _PLAIN
    return _VARIANT if name_of(plain_words(before or after)) else _PART


def _is_prose(name: str) -> bool:
    language = language_of(name, b"")
    return language is None or language.name in ("Text", "Markdown", "HTML")


_OTHERS = re.compile(
    r"third.?part|3rd.?part|bundled|vendor|dependenc|external|\.(?:pdf|docx?|rtf|png|jpe?g|gz|zip|ico)$"
)
_PROSE = re.compile(r"\.(?:txt|md|markdown|rst|adoc|html?)$")
_LICENCE_NAME = re.compile(
    r"(?:(?P<before>[a-z0-9.+-]{1,30})[-_.])?(?P<what>unlicense|licen[cs]es?|copying|copyright|notice)"
    r"(?P<after>\d|[-_. ].{0,60})?"
)
_NO_WORD = re.compile(r"[\d._v-]*(?:lib|lesser|runtime)?")
_LICENCE_FOLDER = re.compile(r"(?:^|/)LICENSES/[^/]+$|^(?i:licen[cs]es?)/[^/]+$|\.dist-info/licen[cs]es/[^/]+$")
_MARKUP = re.compile(r"<[^<>]{0,500}>")


# What a folder states.


class _Stated(NamedTuple):
    path: str
    expression: str
    kind: str


def _of_one_folder(stated: list[_Stated]) -> Licence:
    """A licence file before a description; both where they contradict each other."""
    described = Licence("", "")
    for one in stated:
        if one.kind == _DESCRIPTION:
            described = _agreed(described, Licence(one.expression, one.path))
    found = _agreed(_of_files([one for one in stated if one.kind != _DESCRIPTION]), described)
    return found if found.expression else NO_LICENCE


def _of_files(stated: list[_Stated]) -> Licence:
    by_kind = {kind: [one for one in stated if one.kind == kind] for kind in (_PLAIN, _VARIANT, _PART, _NOTICE, _TEXT)}
    plain = _of_all(by_kind[_PLAIN])
    variants = _of_all(by_kind[_VARIANT])
    if all(one.expression in PERMISSIVE for one in by_kind[_VARIANT]):
        # Rust's habit of LICENSE-MIT beside LICENSE-APACHE. Of others nobody knows whether both hold.
        variants = Licence(any_of(one.expression for one in by_kind[_VARIANT]), variants.source)
    found = _agreed(plain, variants)
    others = (_of_texts(by_kind[_TEXT]), _of_all(by_kind[_PART]), _of_all(by_kind[_NOTICE]))
    return next((one for one in (found, *others) if one.expression), found)


def _of_texts(stated: list[_Stated]) -> Licence:
    """The one that is called LICENSE, if there is one; else all of them."""
    plain = [one for one in stated if PurePosixPath(one.path).stem.lower() in ("license", "licence", "copying")]
    return _of_all(plain or stated)


def _of_all(stated: Iterable[_Stated]) -> Licence:
    several = list(stated)
    return Licence(all_of(without_parts([one.expression for one in several])), _places(one.path for one in several))


def _agreed(first: Licence, second: Licence, both: bool = True) -> Licence:
    """One of two statements if it says what the other says, and more exactly; otherwise both, or the first."""
    if not second.expression or not first.expression:
        return first if first.expression else second
    if second.expression == UNIDENTIFIED:
        return first
    ours, theirs = ids_of(first.expression), ids_of(second.expression)
    if ours == theirs:
        return second if " OR " in second.expression else first
    if _covered(ours, theirs):
        return second
    if _covered(theirs, ours):
        return first
    if not both:
        return first
    expressions = without_parts([first.expression, second.expression])
    return Licence(all_of(expressions), _places([first.source, second.source]))


def _covered(ids: frozenset[str], others: frozenset[str]) -> bool:
    return all(any(_is_exacter(other, one) for other in others) for one in ids)


def _is_exacter(licence: str, other: str) -> bool:
    """Whether the first says what the other says at least: the text of a GPL leaves `or later` open, `GPL` all."""
    return (
        licence == other
        or other.removesuffix("-only") == licence.removesuffix("-or-later")
        or (other == SOME_BSD and licence.startswith(("BSD-", "0BSD")))
        or (other == PUBLIC_DOMAIN and licence in ("Unlicense", "CC0-1.0", "blessing"))
        or (other == "PSF-2.0" and licence == "Python-2.0")
        or other in _ANY_VERSION.get(licence.partition("-")[0], ())
    )


_ANY_VERSION = {"GPL": ("GPL-1.0-or-later",), "LGPL": ("LGPL-2.0-or-later",), "AGPL": ("AGPL-1.0-or-later",)}


def _places(paths: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(path for path in paths if path))


def _folder(path: str) -> str:
    """The path of the folder it is in; '' is the root."""
    return path.rpartition("/")[0]
