"""Which licence a text states: by its SPDX tags, by the words of notices, by telling phrases of whole licences.

In: a text. Out: an SPDX expression, LicenseRef-Unknown where something is stated that nothing here knows, or '' where
nothing is. Phrases are looked for in plain words, so wrapping, case, quotes and comment marks do not matter. Every look
is at a head of stated length and costs its length, whatever the text.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tunesmith.data.codebase.spdx import (
    PERMISSIVE,
    PROPRIETARY,
    PUBLIC_DOMAIN,
    SOME_BSD,
    UNIDENTIFIED,
    all_of,
    any_of,
    begins_name,
    canonical,
    name_of,
    named,
    plain_words,
)

_HEAD_CHARACTERS = 8000
"""Of a source file: a notice of BSD's length may begin at half of it."""
_HEAD_LINES = 120
_TAIL_CHARACTERS = 2000
_LICENCE_CHARACTERS = 100_000
"""Of a licence file: the longest of the known licences have 35,000."""
_TAG = "spdx-license-identifier:"
_HINTS = ("licen", "gpl", "public domain", "permission", "redistribut", "altered source", "proprietary", "confidential",
          "unauthorized")  # fmt: skip


def in_text(text: str) -> str:
    """What a source file says in its own head; '' where it says nothing or points to a licence file."""
    head = text[:_HEAD_CHARACTERS].lower()
    if _TAG in head or _TAG in text[-_TAIL_CHARACTERS:].lower():
        tail = text[max(_HEAD_CHARACTERS, len(text) - _TAIL_CHARACTERS) :]
        if tags := all_of(_tags(text[:_HEAD_CHARACTERS])) or all_of(_tags(tail)):
            return tags
    if not any(hint in head for hint in _HINTS):
        return ""
    said = _comments(text[:_HEAD_CHARACTERS])
    if found := _fields(said):
        return found
    return _of_notice(plain_words(said))


def in_licence(text: str) -> str:
    """What the text of a licence file is; LicenseRef-Unknown if nothing here knows it, '' if it points elsewhere."""
    text = text[:_LICENCE_CHARACTERS]
    words = plain_words(text)
    if found := _of_licence(words):
        return found
    if tags := all_of(_tags(text)):
        return tags
    if len(words) < _SHORT:
        title = named(next((line for line in text.splitlines() if line.strip()), "").strip(" #*=-")[:200])
        return "" if not words or (title == UNIDENTIFIED and _POINTS.search(words)) else title
    return UNIDENTIFIED


def without_parts(licences: list[str]) -> list[str]:
    """Without those that belong to another one: LGPL 3 adds to GPL 3 and comes with it; Python's is a stack of four."""
    parts = {one: _PARTS.get(one, ()) for one in licences}
    parts |= {one: ("GPL-3.0-only", "GPL-3.0-or-later") for one in licences if one.startswith("LGPL-3.0")}
    left_out = {part for several in parts.values() for part in several}
    return [licence for licence in licences if licence not in left_out]


# What a head says.


def _tags(text: str) -> Iterator[str]:
    for found in _TAG_LINE.finditer(text):
        before = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        if not _COMMENTED.match(before) or found[1][:1] in _PLACEHOLDERS:
            continue
        value = _ENDS_COMMENT.split(found[1], maxsplit=1)[0].strip(" \t\r*/#;\"'`,.")
        yield _tag(value)


def _tag(value: str) -> str:
    stated = canonical(value)
    if stated and UNIDENTIFIED not in stated:
        return stated
    first, _, rest = value.partition(" ")
    alone = canonical(first)
    if alone and UNIDENTIFIED not in alone and rest.partition(" ")[0].upper() not in ("AND", "OR", "WITH"):
        return alone  # words behind the id
    return stated or UNIDENTIFIED


def _comments(head: str) -> str:
    """The lines that are comment or documentation in one of the languages that are parsed, as they stand."""
    kept, ends = [], ""
    for line in head.splitlines()[:_HEAD_LINES]:
        if ends:
            kept.append(line)
            ends = "" if ends in line else ends
            continue
        if (opened := _OPENS_BLOCK.match(line)) is not None:
            kept.append(line)
            mark = _BLOCK_ENDS.get(opened[1], opened[1])
            ends = "" if mark in line[opened.end() :] else mark
        elif _COMMENT_LINE.match(line) or _SAYS_LICENCE.match(line):
            kept.append(line)
    return "\n".join(kept)


def _fields(said: str) -> str:
    """Lines that have no sentence: `License: MIT`, `@license MIT`, `__license__ = "MIT"`."""
    values = (_ENDS_FIELD.split(match[1], maxsplit=1)[0] for match in _FIELD.finditer(said))
    found = [named(value.strip(" \t*/\"'.,;")) for value in values]
    known = [name for name in found if name and UNIDENTIFIED not in name]
    return all_of(known)


# What words say.


class _Found(NamedTuple):
    place: int
    licence: str


@functools.lru_cache(512)
def _of_notice(words: str) -> str:
    """Of a head's comments. Files of one repository mostly say the same, so most are known already."""
    found = _combined(words) or _beside_a_name(words)
    if found:
        return found
    if any(phrase in words for phrase in _SECRETS_OF_FIRMS) and any(phrase in words for phrase in _RESERVED):
        return PROPRIETARY
    return ""


def _beside_a_name(words: str) -> str:
    """`foo.js 1.0 MIT license`, in the first words; or that there is one of somebody's own."""
    match = _NAME_LICENSE.search(words[:300])
    if match is not None and "compatible" not in words[max(0, match.start() - 40) : match.end() + 20]:
        return name_of(match[1])
    match = _OWN_LICENSE.search(words)
    return UNIDENTIFIED if match is not None and not _NO_NAMES.intersection(match[1].split()) else ""


def _of_licence(words: str) -> str:
    if (others := _OF_OTHERS.search(words)) is not None and (found := _combined(words[: others.start()])):
        return found
    return _combined(words)


def _combined(words: str) -> str:
    texts = list(_whole_texts(words))
    before = words[: texts[0].place] if texts else words
    notices = [licence for _, licence in sorted(_notices(before))]
    # A notice before its licence's text says more than the text does: `or any later version`.
    whole = [text.licence for text in texts if not any(_says_more(notice, text.licence) for notice in notices)]
    notices, whole = ([_with_exceptions(one, words) for one in dict.fromkeys(two)] for two in (notices, whole))
    if _EITHER.search(before):
        whole = [any_of(notices), *whole] if len(notices) > 1 else [any_of([*notices, *whole])]
    else:
        whole = without_parts([*notices, *whole])
    if any(one in PERMISSIVE for one in whole) and _NOT_FOR_ALL.search(words):
        whole.append(UNIDENTIFIED)
    return all_of(whole)


def _says_more(notice: str, text: str) -> bool:
    return notice == text or notice.partition("-or-later")[0] == text.removesuffix("-only")


def _with_exceptions(licence: str, words: str) -> str:
    if licence.startswith("Apache-2.0") and _LLVM in words:
        return "Apache-2.0 WITH LLVM-exception"
    if licence.startswith("GPL-"):
        found = next((name for phrase, name in _GNU_EXCEPTIONS.items() if phrase in words), "")
        return f"{licence} WITH {found}" if found else licence
    return licence


# Notices: sentences that name a licence.


def _notices(words: str) -> Iterator[_Found]:
    found = list(_names_in(_GNU_PUBLISHED.sub(" ", _GNU_OF.sub(r"\g<name> version \g<number>\g<later> ", words))))
    families = {licence.partition("-")[0] for _, licence in found if not licence.endswith(_ANY_VERSION)}
    for place, licence in found:
        if not (licence.endswith(_ANY_VERSION) and licence.partition("-")[0] in families):
            yield _Found(place, licence)
    if (match := _PUBLIC.search(words)) is not None:
        yield _Found(match.start(), PUBLIC_DOMAIN)


def _names_in(words: str) -> Iterator[_Found]:
    for opener in itertools.islice(_OPENER.finditer(words), _MOST_NOTICES):
        before, after = words[max(0, opener.start() - 24) : opener.end()], words[opener.end() : opener.end() + 60]
        if "licens" not in after and not any(verb in before for verb in _GIVES):
            continue  # `runs under BSD` names a system
        following = words[opener.end() : opener.end() + 400].split()
        yield from _names_at(opener.start(), following)


def _names_at(place: int, following: list[str]) -> Iterator[_Found]:
    """The names at the beginning, with nothing but small words before and between them."""
    at = 0
    while at < min(len(following), 40):
        size = _length_of_name(following[at : at + _LONGEST_NAME])
        if following[at + size : at + size + 1] in (["style"], ["styled"], ["like"], ["type"]):
            return  # `governed by a BSD-style license that can be found in the LICENSE file`
        if size:
            yield _Found(place + at, name_of(" ".join(following[at : at + size])))
        elif following[at] not in _BETWEEN:
            return
        at += size or 1


def _length_of_name(words: list[str]) -> int:
    """How many of the words name a licence, as many as do; 0 if none."""
    if words[0] in _BETWEEN or not begins_name(words[0]):
        return 0
    if "style" in words:
        words = words[: words.index("style")]
    fits = (n for n in range(len(words), 0, -1) if words[n - 1] not in _NEVER_LAST and name_of(" ".join(words[:n])))
    return next(fits, 0)


# Whole texts: opened by a phrase, closed by the next text.


def _whole_texts(words: str) -> Iterator[_Found]:
    places = list(_openings_in(f" {words} "))
    for index, (place, licence) in enumerate(places):
        if isinstance(licence, str):
            yield _Found(place, licence)
            continue
        ends = places[index + 1][0] if index + 1 < len(places) else len(words)
        if found := licence(words[place : min(ends, place + 6000)]):
            yield _Found(place, found)


@functools.cache
def _openings() -> dict[str, str | Callable[[str], str]]:
    told: dict[str, str | Callable[[str], str]] = {
        "redistribution and use in source and binary forms": _bsd,
        "redistribution and use of this software in source and binary forms": _bsd,
        "permission is hereby granted free of charge to any person": _mit,
        "permission to use copy modify": _isc,
        "altered source versions must be plainly marked": _zlib,
    }
    return {**{phrase: licence for licence, phrases in _TITLES.items() for phrase in phrases.split("|")}, **told}


def _openings_in(words: str) -> Iterator[tuple[int, str | Callable[[str], str]]]:
    """In order of place; none within another one."""
    found = []
    for phrase, licence in _openings().items():
        place = words.find(f" {phrase} ")
        while place >= 0:
            found.append((place, -len(phrase), licence))
            place = words.find(f" {phrase} ", place + 1)
    ends = 0
    for place, length, licence in sorted(found, key=lambda one: one[:2]):
        if place >= ends:
            yield place, licence
            ends = place - length


def _bsd(words: str) -> str:
    if _FOR_SOME.match(words):
        return UNIDENTIFIED
    if "end user documentation included with the redistribution" in words:
        return "Apache-1.1"
    if "all advertising materials mentioning features" in words:
        return "OpenSSL" if "openssl" in words else "BSD-4-Clause"
    if "express or implied licenses to any party s patent rights are granted" in words:
        return "BSD-3-Clause-Clear"
    if "nuclear facility" in words:
        return "BSD-3-Clause-No-Nuclear-License"
    if re.search(r"neither the name|nor the names? of|\bendorse or promote products\b", words):
        return "BSD-3-Clause"
    if "in binary form must reproduce" in words:
        return "BSD-2-Clause-Patent" if "copyright holder and contributor hereby grants" in words else "BSD-2-Clause"
    return "BSD-1-Clause" if "of source code must retain" in words else ""


def _mit(words: str) -> str:
    if "shall be used for good not evil" in words:
        return "JSON"
    if "any person or organization obtaining a copy" in words:
        return "BSL-1.0"
    if "altered source" in words or "and that both the above copyright notice" in words:
        return "ICU"
    if "redistributions of source code must retain" in words:
        return "NCSA"
    if "obtaining a copy of the font software" in words:
        return "OFL-1.1"
    if not re.search(
        r"obtaining a copy of (?:this|the) (?:software|library|program|code|file|work|project)", words[:200]
    ):
        return "Bitstream-Vera" if "bitstream vera" in words else UNIDENTIFIED
    if "except as contained in this notice the name" in words:
        return "X11"
    return "MIT" if re.search(r"permission notice[^.]{0,40} shall be included", words) else _without_notice(words)


def _without_notice(words: str) -> str:
    return "MIT-0" if "the software is provided as is" in words and "subject to" not in words else UNIDENTIFIED


def _isc(words: str) -> str:
    if _FOR_SOME.match(words):
        return UNIDENTIFIED
    if "without a written agreement is hereby granted" in words:
        return "PostgreSQL"
    if "in advertising or otherwise" in words and "with or without fee" in words[:200]:
        return "curl"
    if re.match(
        r"permission to use copy modify (?:and )?(?:or )?distribute this software for any purpose with or", words
    ):
        return "ISC" if "provided that the above copyright notice" in words else "0BSD"
    return "HPND" if re.search(r"without fee|\bis hereby granted\b", words[:300]) else ""


def _zlib(words: str) -> str:
    return "bzip2-1.0.6" if re.search(r"not be used to endorse or promote", words[:800]) else "Zlib"


# Phrases, in plain words.


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHORT = 400
_LONGEST_NAME = 15
_MOST_NOTICES = 200
"""That are looked at in one text. Each may cost 20 us; what people write has a few dozen at most."""
_SECRETS_OF_FIRMS = ("proprietary", "confidential", "trade secret", "unauthorized copying")
_RESERVED = ("all rights reserved", "strictly prohibited")
_ANY_VERSION = ("GPL-1.0-or-later", "LGPL-2.0-or-later")
_LLVM = "llvm exceptions to the apache 2.0 license"
_GNU_EXCEPTIONS = {
    "linking this library statically or dynamically with other modules": "Classpath-exception-2.0",
    "gcc runtime library exception": "GCC-exception-3.1",
    "part or all of the bison parser skeleton": "Bison-exception-2.2",
    "contains a configuration script generated by autoconf": "Autoconf-exception-generic",
}

_PARTS = {
    "Python-2.0": ("PSF-2.0", "HPND", "GPL-1.0-or-later"),
    "MIT-CMU": ("HPND",),
    "bzip2-1.0.6": ("BSD-1-Clause",),
    "BSD-2-Clause": (SOME_BSD,),
    "BSD-3-Clause": (SOME_BSD,),
    "CC0-1.0": (PUBLIC_DOMAIN,),
    "Unlicense": (PUBLIC_DOMAIN,),
}
"""Licences whose texts hold those of others, or words about them."""

_TITLES = {
    "AFL-3.0": "academic free license v 3.0|academic free license version 3.0",
    "AGPL-3.0-only": "gnu affero general public license version 3 19 november 2007",
    "Apache-2.0": "apache license version 2.0 january 2004",
    "Artistic-1.0": "the intent of this document is to state the conditions under which a package may be copied",
    "Artistic-2.0": "the artistic license 2.0|artistic license 2.0 copyright",
    "Beerware": "the beer ware license|beerware license revision 42",
    "BlueOak-1.0.0": "blue oak model license version 1.0.0|blue oak model license",
    "BSL-1.0": "boost software license version 1.0",
    "BUSL-1.1": "business source license 1.1",
    "CC0-1.0": "cc 0 1.0 universal|"
               "dedicated all copyright and related and neighboring rights to this software to the public domain",
    "CC-BY-3.0": "creative commons attribution 3.0 unported|attribution 3.0 unported",
    "CC-BY-4.0": "attribution 4.0 international",
    "CC-BY-SA-3.0": "attribution sharealike 3.0 unported",
    "CC-BY-SA-4.0": "attribution sharealike 4.0 international",
    "CC-BY-NC-3.0": "attribution noncommercial 3.0 unported",
    "CC-BY-NC-4.0": "attribution noncommercial 4.0 international",
    "CC-BY-NC-SA-4.0": "attribution noncommercial sharealike 4.0 international",
    "CC-BY-NC-ND-4.0": "attribution noncommercial noderivatives 4.0 international",
    "CC-BY-ND-4.0": "attribution noderivatives 4.0 international",
    "CDDL-1.0": "common development and distribution license cddl version 1.0",
    "CDDL-1.1": "common development and distribution license cddl version 1.1",
    "ECL-2.0": "educational community license version 2.0",
    "Elastic-2.0": "elastic license 2.0 acceptance|elastic license 2.0 url",
    "EPL-1.0": "eclipse public license v 1.0",
    "EPL-2.0": "eclipse public license v 2.0",
    "EUPL-1.1": "european union public license v 1.1",
    "EUPL-1.2": "european union public license v 1.2",
    "GFDL-1.1-only": "gnu free documentation license version 1.1",
    "GFDL-1.2-only": "gnu free documentation license version 1.2",
    "GFDL-1.3-only": "gnu free documentation license version 1.3",
    "GPL-2.0-only": "gnu general public license version 2 june 1991",
    "GPL-3.0-only": "gnu general public license version 3 29 june 2007",
    "LGPL-2.0-only": "gnu library general public license version 2 june 1991",
    "LGPL-2.1-only": "gnu lesser general public license version 2.1 february 1999",
    "LGPL-3.0-only": "gnu lesser general public license version 3 29 june 2007",
    "LicenseRef-Commons-Clause": "commons clause license condition",
    "MIT-CMU": "by obtaining using and or copying this software and or its associated documentation you agree",
    "MPL-1.1": "mozilla public license version 1.1 1",
    "MPL-2.0": "mozilla public license version 2.0 1",
    "MS-PL": "microsoft public license ms pl",
    "MulanPSL-2.0": "mulan permissive software license version 2",
    "OFL-1.1": "sil open font license version 1.1",
    "PolyForm-Noncommercial-1.0.0": "polyform noncommercial license 1.0.0",
    "PolyForm-Small-Business-1.0.0": "polyform small business license 1.0.0",
    "PSF-2.0": "python software foundation license version 2|psf license agreement for python|"
               "grants licensee a nonexclusive royalty free world wide license to reproduce analyze test",
    "Python-2.0": "beopen python open source license agreement",
    "SSPL-1.0": "server side public license version 1 october 16 2018",
    "TCL": "hereby grant permission to use copy modify distribute and license this software and its documentation",
    "Unicode-3.0": "unicode license v 3",
    "Unlicense": "this is free and unencumbered software released into the public domain",
    "UPL-1.0": "universal permissive license v 1.0|universal permissive license upl version 1.0",
    "WTFPL": "do what the fuck you want to public license",
    "ZPL-2.1": "zope public license zpl version 2.1",
    "blessing": "may you do good and not evil",
}  # fmt: skip

_TAG_LINE = re.compile(r"(?i)SPDX-License-Identifier:[ \t]*([^\n]{1,300})")
_PLACEHOLDERS = ("<", "{", "%", "$", "[", "\\", "`")
_COMMENTED = re.compile(r"[ \t]*(?:#|//|/?\*|--|;|%|<!--|\{-|\(\*|!|[ru]?\"\"\"|[ru]?'''|[^\w'\"]*$)")
_ENDS_COMMENT = re.compile(r"\*/|-->|\"\"\"|'''|#\}|-\}|\*\)|\]\]|\s(?:#|//|--)\s|\\n")
_OPENS_BLOCK = re.compile(
    r"\s*(?:<\?(?:php)?\s*)?(?:[rub]{0,2}(?=[\"']))?(/\*|\"\"\"|'''|<!--|\{-|\(\*|=begin|=pod|--\[\[)"
)
_BLOCK_ENDS = {"/*": "*/", "<!--": "-->", "{-": "-}", "(*": "*)", "=begin": "=end", "=pod": "=cut", "--[[": "]]"}
_COMMENT_LINE = re.compile(r"\s*(?:#|//|--|;|%|\*|!|\.\.)")
_SAYS_LICENCE = re.compile(r"\s{0,20}__licen[cs]e__\s{0,9}=")
_FIELD = re.compile(
    r"(?im)^[^\w\n@]{0,20}(?:__licen[cs]e__[ \t]*=|@licen[cs]e\b[ \t]*:?|licen[cs]e[ \t]*::?)[ \t]*([^\n]{2,100})$"
)

_ENDS_FIELD = re.compile(r"(?i)[\s,;.(]+(?:see|the full|full|for details|which|and is|copyright)\b")

_OPENER = re.compile(
    r"\b(?:under|subject to|terms of|terms and conditions of|(?:governed|covered) by|license is|licensed as|"
    r"dual licensed|licensed|(?:either|both) of|either)\b"
)
_GIVES = ("licens", "releas", "distribut", "available", "terms", "subject", "govern", "covered", "gpl")
_BETWEEN = _words(
    "the terms of conditions and or a an either both under license licenses version versions v following at your "
    "option subject to found in file"
)
_NEVER_LAST = _words("the a an of or and v version under in")
_NO_NAMES = _words(
    "same similar style like above following this that its their an a any your project file open one original "
    "respective software user under root with separate source"
)
_GNU_OF = re.compile(
    r"\bversions? (?P<number>\d(?:\.\d)?)(?: of the license)?(?P<later> or(?: at your option)?(?: any)? later)?"
    r"(?: versions?)? of the (?P<name>gnu (?:affero |lesser |library )?(?:general public license|[al]?gpl))"
)
_GNU_PUBLISHED = re.compile(
    r" (?:as )?published by the free software foundation(?: inc)?(?: either| under| in)?(?: the terms of)? "
    r"| of the license (?=or\b)"
)
_NAME_LICENSE = re.compile(
    r"(?<!non )\b((?:(?:\d clause )?(?:new |modified |simplified )?bsd(?: \d(?: clause)?)?|mit|isc|"
    r"apache(?: v)?(?: \d(?:\.0)?)?|[al]?gpl(?: ?v)? ?(?:\d(?:\.\d)?\+?)?|mpl(?: v)? \d(?:\.\d)?)) ?"
    r"(?:license\b|licensed\b(?! under))"
)
_OWN_LICENSE = re.compile(
    r"\blicensed under (?:the )?(?:terms of (?:the )?)?((?:(?!license)[a-z0-9][a-z0-9.]{0,40} ){1,5})license\b"
)
_PUBLIC = re.compile(
    r"\b(?<!not )(?:is|are|released|placed|put|dedicated|contributed|been|hereby)(?: hereby)?"
    r"(?: released| placed| put)? ?(?:in|into|to|as)? ?(?:the )?public domain\b"
)
_EITHER = re.compile(
    r"\b(?:dual(?:ly)? license|dual licensing|(?:tri|triple|multi) licensed|either of\b|(?:under|choose) either\b|"
    r"either the\b(?! implied)|alternatively\b|at your (?:option|choice|discretion|election)\b(?! any| version)|"
    r"your choice of|(?:license|mit|bsd|apache(?: license)?(?: version)?(?: 2.0)?) or "
    r"(?:the )?(?:mit|bsd|apache|gpl|gnu|lgpl|mpl|unlicense)\b)"
)
_NOT_FOR_ALL = re.compile(
    r"\b(?:non ?commercial (?:use|purpose|research|academic|license)|research purposes only|not for commercial use|"
    r"academic use only|commercial (?:use|purposes)(?: of \w{1,40} \w{1,40})? is (?:strictly )?"
    r"(?:prohibited|not (?:allowed|permitted)))"
)
_OF_OTHERS = re.compile(
    r"\b(?:(?:also )?bundles the following|bundled (?:software|libraries|components|dependencies)|subcomponents\b|"
    r"this binary distribution|externally maintained libraries|software from third parties included|"
    r"third party (?:software|components?|libraries|library|code|packages|dependencies|licenses|content)\b|"
    r"(?:contains|includes|incorporates|uses) (?:the following |code |software |portions |third party )"
    r"(?:\w{1,40} ){0,4}(?:from|under|licensed|software|components|libraries)|licenses for (?:included|bundled))"
)
_FOR_SOME = re.compile(r".{0,160}\b(?:non ?commercial|non ?profit|academic|research|educational|evaluation)\b")
_POINTS = re.compile(r"\b(?:license|copying|licensing|include|see|readme)\b")
