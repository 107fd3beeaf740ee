"""Licences as SPDX expressions: spelled one way, joined, and judged by a policy.

In: what files and people call licences (`mit`, `GPL-2.0+`, `Apache Software License`, `MIT/Apache-2.0`). Out:
expressions in SPDX's spelling, and whether a policy allows one. Reads no file and knows no licence's text.

Three names are ours, of the form that SPDX leaves free: LicenseRef-Unknown (something is stated, and nothing here knows
what), LicenseRef-Proprietary and LicenseRef-Public-Domain; and LicenseRef-BSD for "BSD" where nobody says which.
`unknown` is no expression: it stands where nothing is stated at all.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tunesmith.errors import InvalidArgument

UNKNOWN = "unknown"
UNIDENTIFIED = "LicenseRef-Unknown"
PROPRIETARY = "LicenseRef-Proprietary"
PUBLIC_DOMAIN = "LicenseRef-Public-Domain"
SOME_BSD = "LicenseRef-BSD"

PERMISSIVE = frozenset({
    "0BSD", "AFL-2.1", "AFL-3.0", "Apache-1.0", "Apache-1.1", "Apache-2.0", "BSD-1-Clause", "BSD-2-Clause",
    "BSD-2-Clause-Patent", "BSD-2-Clause-Views", "BSD-3-Clause", "BSD-3-Clause-Clear", "BSD-3-Clause-LBNL",
    "BSD-3-Clause-Open-MPI", "BSD-4-Clause", "BSD-4-Clause-UC", "BSD-Source-Code", "BSL-1.0", "Beerware",
    "BlueOak-1.0.0", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "CDLA-Permissive-2.0", "CNRI-Python", "ECL-2.0", "EFL-2.0",
    "FSFAP", "FTL", "Fair", "HPND", "HPND-sell-variant", "ICU", "IJG", "ISC", "ImageMagick", "Intel", "Libpng", "MIT",
    "MIT-0", "MIT-CMU", "MIT-Modern-Variant", "MIT-advertising", "MS-PL", "MulanPSL-2.0", "NCSA", "NTP", "OLDAP-2.8",
    "OpenSSL", "PDDL-1.0", "PHP-3.01", "PSF-2.0", "PostgreSQL", "Python-2.0", "Python-2.0.1", "SMLNJ", "SunPro", "TCL",
    "UPL-1.0", "Unicode-3.0", "Unicode-DFS-2015", "Unicode-DFS-2016", "Unlicense", "W3C", "WTFPL", "X11", "ZPL-2.1",
    "Zlib", "blessing", "bzip2-1.0.6", "curl", "libpng-2.0", "libtiff", "zlib-acknowledgement",
    SOME_BSD, PUBLIC_DOMAIN,
})  # fmt: skip
"""Allow nearly everything as long as the notice stays; all of them Permissive or Public Domain to ScanCode's table."""

WEAK_COPYLEFT = frozenset({
    "Artistic-1.0", "Artistic-1.0-Perl", "Artistic-2.0", "CDDL-1.0", "CDDL-1.1", "CPL-1.0", "EPL-1.0", "EPL-2.0",
    "EUPL-1.1", "EUPL-1.2", "IPL-1.0", "LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later",
    "LGPL-3.0-only", "LGPL-3.0-or-later", "MPL-1.0", "MPL-1.1", "MPL-2.0", "MPL-2.0-no-copyleft-exception", "MS-RL",
    "OFL-1.1", "Ruby",
})  # fmt: skip
"""Changed files or the library itself stay under the licence, what is built with them need not."""

NAMED_POLICIES = {"permissive": PERMISSIVE, "weak-copyleft": PERMISSIVE | WEAK_COPYLEFT}
_EVERYTHING = "any"

REASONS = {
    "licence-not-allowed": "under a licence that the policy does not name",
    "licence-unknown": "under no licence that is stated, or under one that nothing here identifies",
}
"""Of what a policy rejects: code -> what it means."""

_LONGEST_EXPRESSION = 500


@dataclass(frozen=True, slots=True)
class Policy:
    """Which licences a data set may be made of."""

    text: str
    """As the user wrote it."""
    ids: frozenset[str] = field(repr=False, default=frozenset())
    everything: bool = False


def policy_of(text: str) -> Policy:
    """`any`, or a comma list of SPDX ids, `unknown`, and the names `permissive` and `weak-copyleft`."""
    if text.strip().lower() == _EVERYTHING:
        return Policy(text, everything=True)
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InvalidArgument.of("licence-policy", f"no licence in {text!r}; give {_choices()}")
    return Policy(text, frozenset().union(*(_ids_of_policy(word) for word in words)))


def allowed(expression: str, policy: Policy) -> bool:
    """Whether the policy has it: one side of an OR, all of an AND; an exception (WITH) only ever allows more.

    "or any later version" is a choice, so `GPL-2.0-or-later` is allowed where GPL-3.0-only is.
    """
    if policy.everything or expression in policy.ids:
        return True
    if expression == UNKNOWN:
        return False
    return _allows(_parsed(expression), policy.ids)


def reason_of(expression: str, policy: Policy) -> str:
    """Why a file under it is left out, as a code of REASONS; empty if the policy allows it."""
    if allowed(expression, policy):
        return ""
    if expression == UNKNOWN:
        return "licence-unknown"
    others = _allows(_parsed(expression), policy.ids | {UNIDENTIFIED})
    return "licence-unknown" if others else "licence-not-allowed"


@functools.lru_cache(4096)
def canonical(text: str) -> str:
    """The expression in SPDX's spelling, ids that SPDX has withdrawn by their successors; '' if it is none.

    Ids that nobody knows become LicenseRef-Unknown, other LicenseRefs stay.
    """
    if text in PERMISSIVE:
        return text
    tree = _parsed(text[: _LONGEST_EXPRESSION + 1])
    return "" if tree is None else _written(tree)


@functools.lru_cache(4096)
def named(text: str) -> str:
    """What people write where a licence is asked for, as an expression; LicenseRef-Unknown if nothing knows it."""
    text = text.strip().strip("\"'").strip()
    if not text:
        return ""
    if (url := _URL.search(text)) is not None:
        rest = named(f"{text[: url.start()]} {text[url.end() :]}".strip(" ()<>;,-:"))
        return rest if rest and rest != UNIDENTIFIED else _of_url(url[0])
    stated = canonical(text)
    if stated and UNIDENTIFIED not in stated:
        return stated
    return name_of(plain_words(text)) or _joined_names(text) or UNIDENTIFIED


def name_of(words: str) -> str:
    """The licence that plain words name, no word too many; '' if they name none."""
    key = " ".join(_key_word(word) for word in words.split() if word not in _FILLERS)
    if key in _NAMES:
        return _NAMES[key]
    if found := _GNU.fullmatch(key):
        return _gnu(found)
    if found := _CREATIVE_COMMONS.fullmatch(key):
        kinds = "".join(f"-{kind}" for name, kind in (("nc", "NC"), ("sa", "SA"), ("nd", "ND")) if found[name])
        number = found["number"] or "4"
        return f"CC-BY{kinds}-{number if '.' in number else number + '.0'}"
    return ""


def begins_name(word: str) -> bool:
    """Whether a name can begin with this plain word: most cannot, which saves looking further."""
    return word in _first_words()


def plain_words(text: str) -> str:
    """Words and version numbers in lower case, a space between each: what wrapping and marks do not change."""
    return " ".join(_WORD.findall(text.lower().replace("licence", "license")))


def all_of(expressions: Iterable[str]) -> str:
    """Each of them once, with AND; '' of none."""
    return _joined(expressions, " AND ", " OR ")


def any_of(expressions: Iterable[str]) -> str:
    """Each of them once, with OR; '' of none."""
    return _joined(expressions, " OR ", " AND ")


def ids_of(expression: str) -> frozenset[str]:
    """The licences in it, exceptions left out."""
    tree = _parsed(expression)
    return frozenset() if tree is None else frozenset(_ids(tree))


def _joined(expressions: Iterable[str], word: str, other: str) -> str:
    parts: dict[str, None] = {}
    for expression in expressions:
        for part in [expression] if "(" in expression or other in expression else expression.split(word):
            parts[part] = None
    parts.pop("", None)
    if len(parts) == 1:
        return next(iter(parts))
    return word.join(f"({part})" if other in part else part for part in parts)


def _ids_of_policy(word: str) -> frozenset[str]:
    known = NAMED_POLICIES.get(word.lower())
    if known is not None:
        return known
    if word.lower() == UNKNOWN:
        return frozenset({UNKNOWN})
    stated = canonical(word)
    if stated and " " not in stated and (stated != UNIDENTIFIED or word == UNIDENTIFIED):
        return frozenset({stated})
    raise InvalidArgument.of("licence-policy", f"{word!r} is no SPDX licence id{_hint(word)}; give {_choices()}")


def _choices() -> str:
    return f"any, or a comma list of {', '.join(NAMED_POLICIES)}, {UNKNOWN} and SPDX ids such as MIT,Apache-2.0"


def _hint(word: str) -> str:
    close = name_of(plain_words(word))
    if not close:
        known = {name.lower(): name for name in sorted(_known()) if not name.startswith("LicenseRef-")}
        near = difflib.get_close_matches(word.lower(), [*known, *NAMED_POLICIES, _EVERYTHING, UNKNOWN], 1, 0.6)
        close = known.get(near[0], near[0]) if near else ""
    return f" (is it {close}?)" if close else ""


# Expressions, read with license-expression. Its table takes 30 ms once; what most files state is known without.


@functools.cache
def _licensing() -> Any:
    import license_expression

    return license_expression.get_spdx_licensing()


def _known() -> Iterable[str]:
    found: Iterable[str] = _licensing().known_symbols
    return found


@functools.lru_cache(4096)
def _parsed(text: str) -> Any:
    """The tree, or None for what is no expression."""
    import license_expression

    if len(text) > _LONGEST_EXPRESSION or not _EXPRESSION.fullmatch(text) or not _is_formed(text):
        return None
    try:
        return _licensing().parse(text)
    except (license_expression.ExpressionError, license_expression.ExpressionParseError):
        return None


def _is_formed(text: str) -> bool:
    """Whether licences and operators take turns; the library falls over some texts of other forms, such as ()."""
    depth, wants_licence = 0, True
    for token in _TOKEN.findall(text):
        if token == "(" or token.upper() in _OPERATORS:
            if wants_licence is (token != "("):
                return False
            depth += token == "("
            wants_licence = True
        else:
            if wants_licence is (token == ")"):
                return False
            depth -= token == ")"
            wants_licence = False
        if depth < 0:
            return False
    return depth == 0 and not wants_licence


def _written(tree: Any) -> str:
    licensing = _licensing()
    if isinstance(tree, licensing.AND | licensing.OR):
        join = all_of if isinstance(tree, licensing.AND) else any_of
        return join([_written(part) for part in tree.args])
    if hasattr(tree, "exception_symbol"):
        licence = _written(tree.license_symbol)
        return licence if licence == UNIDENTIFIED else f"{licence} WITH {tree.exception_symbol.key}"
    key: str = PUBLIC_DOMAIN if tree.key == "LicenseRef-scancode-public-domain" else tree.key
    if key in licensing.known_symbols:
        return _withdrawn(key)
    return key if _REFERENCE.fullmatch(key) else UNIDENTIFIED


def _withdrawn(key: str) -> str:
    """GPL-2.0-with-classpath-exception and its like were ids of their own once."""
    licence, found, exception = key.partition("-with-")
    if not found:
        return key
    name = next((name for name in _OLD_EXCEPTIONS if name.lower().startswith(exception.lower())), exception)
    return f"{licence}-only WITH {name}"


def _ids(tree: Any) -> Iterable[str]:
    for part in getattr(tree, "args", ()):
        yield from _ids(part)
    if not getattr(tree, "args", ()):
        yield getattr(tree, "license_symbol", tree).key


def _allows(tree: Any, ids: frozenset[str]) -> bool:
    licensing = _licensing()
    if tree is None:
        return False
    if isinstance(tree, licensing.AND):
        return all(_allows(part, ids) for part in tree.args)
    if isinstance(tree, licensing.OR):
        return any(_allows(part, ids) for part in tree.args)
    if hasattr(tree, "license_symbol"):
        return _allows(tree.license_symbol, ids)
    return tree.key in ids or bool(ids.intersection(_later(tree.key)))


def _later(licence: str) -> list[str]:
    """The licences among which `or-later` lets one choose."""
    family, found, _ = licence.partition("-or-later")
    if not found:
        return []
    name, _, number = family.rpartition("-")
    return [f"{name}-{later}-only" for later in _GNU_VERSIONS.get(name, ()) if later >= number]


# Names that people write.


def _joined_names(text: str) -> str:
    """`MIT/Apache-2.0` is a choice (Cargo's old form), `MIT, BSD` is not."""
    pieces = [piece for piece in _BETWEEN_NAMES.split(text[:_LONGEST_EXPRESSION]) if piece.strip("() ")]
    names = [canonical(piece.strip("() ")) for piece in pieces]
    names = [
        name if name and UNIDENTIFIED not in name else name_of(plain_words(piece))
        for name, piece in zip(names, pieces, strict=True)
    ]
    if len(names) < 2 or not all(names):
        return ""
    return all_of(names) if _ALL_COUNT.search(text) else any_of(names)


def _of_url(url: str) -> str:
    """Of the pages that licences are known by, such as https://opensource.org/licenses/MIT."""
    if "apache.org/licenses/license-2.0" in url.lower():
        return "Apache-2.0"
    found = _NAME_IN_URL.search(url)
    name = re.sub(r"(?i)\.(?:html?|txt|php|md)$", "", found[1]).replace("/", "-") if found else ""
    stated = next((made for made in (canonical(name), canonical(f"CC-{name}")) if UNIDENTIFIED not in made), "")
    return stated or name_of(plain_words(name)) or UNIDENTIFIED


def _key_word(word: str) -> str:
    if word.endswith((".0", ".0+")):
        return word.replace(".0", "")
    return _RUN_TOGETHER.get(word, word)


@functools.cache
def _first_words() -> frozenset[str]:
    others = ("gnu", "affero", "lesser", "library", "gpl", "lgpl", "agpl", "cc", "creative")
    return frozenset({*(key.partition(" ")[0] for key in _NAMES), *others, *_RUN_TOGETHER})


def _gnu(found: re.Match[str]) -> str:
    words = found["family"]
    name = "AGPL" if words[0] == "a" else "LGPL" if words[0] == "l" else "GPL"
    versions = _GNU_VERSIONS[name]
    number = found["number"] or found["again"]
    if not number:
        return f"{name}-{versions[0]}-or-later"  # any version that was ever published, as the licences say themselves
    if found["again"] and found["again"].removesuffix(".0") != number.removesuffix(".0"):
        return ""  # two versions
    whole = number if "." in number else f"{number}.0"
    if whole not in versions:
        return UNIDENTIFIED
    later = found["plus"] or found["later"] or found["again_plus"]
    return f"{name}-{whole}-{'or-later' if later else 'only'}"


_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)*\+?")
_EXPRESSION = re.compile(r"[A-Za-z0-9.+\-: ()]+")
_TOKEN = re.compile(r"[()]|[^\s()]+")
_OPERATORS = ("AND", "OR", "WITH")
_REFERENCE = re.compile(r"(?:DocumentRef-[A-Za-z0-9.\-]+:)?LicenseRef-[A-Za-z0-9.\-]+")
_URL = re.compile(r"https?://[^\s>)\]]{1,300}")
_NAME_IN_URL = re.compile(r"(?i)(?:/licen[cs]es?|mozilla\.org)/([A-Za-z0-9.\-/]{2,60}?)/?$")
_BETWEEN_NAMES = re.compile(r"(?i)/|,|;|\||&|\bor\b(?! (?:any |\(at your option\) )?(?:any )?later)|\band\b(?! later)")
_ALL_COUNT = re.compile(r"(?i),|;|&|\band\b(?! later)")

_FILLERS = frozenset({"the", "license", "licenses", "licensed", "version", "v", "a", "an", "software", "inc"})
_RUN_TOGETHER = {"gplv": "gpl", "lgplv": "lgpl", "agplv": "agpl", "mplv": "mpl", "eplv": "epl", "apachev": "apache"}
_GNU_VERSIONS = {
    "GPL": ("1.0", "2.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "AGPL": ("1.0", "3.0"),
}
_GNU = re.compile(
    r"(?:gnu )?(?P<family>affero general public|affero gpl|lesser general public|lesser gpl|library general public|"
    r"library or lesser general public|general public|agpl|lgpl|gpl)(?: (?:agpl|lgpl|gpl))?"
    r"(?: (?P<number>\d(?:\.\d)?)(?P<plus>\+)?)?"
    r"(?P<later>(?: or| and)(?: at your option)?(?: any)? (?:later|newer|above|greater))?(?: only)?"
    r"(?: (?:agpl|lgpl|gpl)(?: (?P<again>\d(?:\.\d)?)(?P<again_plus>\+)?)?)?"
)
_CREATIVE_COMMONS = re.compile(
    r"(?:cc|creative commons) (?:by|attribution)(?P<nc> nc| non ?commercial)?"
    r"(?: (?:(?P<sa>sa|share ?alike)|(?P<nd>nd|no ?deriv(?:ative)?s?(?: works)?)))?"
    r"(?: (?P<number>[1-4](?:\.\d)?))?(?: (?:international|unported|generic|public))*(?: cc by(?: [a-z]{2})*(?: \d)?)?"
)
_OLD_EXCEPTIONS = ("Autoconf-exception-2.0", "Bison-exception-2.2", "Classpath-exception-2.0", "Font-exception-2.0",
                   "GCC-exception-2.0")  # fmt: skip


def _spelled(table: dict[str, str]) -> dict[str, str]:
    return {key.strip(): licence for licence, keys in table.items() for key in keys.split("|")}


# As _key_word leaves them: without "the", "license", "version", "v", and without the .0 of a number.
_NAMES = _spelled({
    "0BSD": "0 bsd|zero clause bsd|bsd 0 clause|bsd zero clause",
    "AFL-3.0": "afl 3|academic free 3|academic free afl 3",
    "Apache-2.0": "apache|apache 2|apache 2 apache 2|apache 2 apache|asl 2|al 2|apache foundation 2|apache asl 2",
    "Artistic-2.0": "artistic 2",
    "BSD-2-Clause": "bsd 2|bsd 2 clause|2 clause bsd|bsd two clause|two clause bsd|simplified bsd|freebsd|"
                    "bsd simplified|bsd 2 clause simplified|bsd 2 clause bsd 2 clause",
    "BSD-3-Clause": "bsd 3|bsd 3 clause|3 clause bsd|bsd three clause|three clause bsd|new bsd|modified bsd|"
                    "revised bsd|bsd new|bsd modified|new bsd bsd 3 clause|bsd 3 clause new|"
                    "bsd 3 clause new or revised|new bsd 3 clause|bsd 3 clause bsd 3 clause|revised bsd 3 clause|"
                    "bsd new or revised|3 clauses bsd|bsd 3 clauses|modified 3 clause bsd",
    "BSD-4-Clause": "bsd 4|bsd 4 clause|4 clause bsd|original bsd",
    "BSL-1.0": "bsl 1|boost|boost 1|boost bsl 1|boost 1 bsl 1",
    "BUSL-1.1": "busl 1.1|business source 1.1|business source|bsl 1.1",
    "CC0-1.0": "cc 0|cc 0 1|cc 0 1 universal|creative commons zero|creative commons zero 1|creative commons cc 0|"
               "creative commons zero 1 universal|cc 0 1 universal cc 0 1 public domain dedication|"
               "creative commons cc 0 1 universal",
    "CDDL-1.0": "cddl|cddl 1|common development and distribution 1 cddl 1|common development and distribution 1|"
                "common development and distribution",
    "CDDL-1.1": "cddl 1.1|common development and distribution 1.1",
    "ECL-2.0": "ecl 2|educational community 2",
    "EPL-1.0": "epl|epl 1|eclipse public|eclipse public 1|eclipse public 1 epl 1|eclipse",
    "EPL-2.0": "epl 2|eclipse public 2|eclipse public 2 epl 2",
    "EUPL-1.1": "eupl 1.1|european union public 1.1",
    "EUPL-1.2": "eupl 1.2|european union public 1.2|european union public 1.2 eupl 1.2|eupl",
    "Elastic-2.0": "elastic 2|elv 2",
    "HPND": "historical permission notice and disclaimer hpnd|historical permission notice and disclaimer|hpnd",
    "ISC": "isc|isc iscl|iscl",
    "MIT": "mit|expat|mit x 11|mit x|mit expat|expat mit|x 11 mit|mit mit|mit open source",
    "MIT-0": "mit 0|mit no attribution|mit no attribution mit 0",
    "MIT-CMU": "mit cmu|hpnd mit cmu|cmu mit cmu",
    "MPL-1.1": "mpl 1.1|mozilla public 1.1|mozilla public 1.1 mpl 1.1",
    "MPL-2.0": "mpl|mpl 2|mozilla public|mozilla public 2|mozilla public 2 mpl 2|mozilla public mpl 2|mozilla 2",
    "MS-PL": "ms pl|microsoft public|microsoft public ms pl",
    "MulanPSL-2.0": "mulan permissive 2 mulanpsl 2|mulanpsl 2|mulan psl 2",
    "NCSA": "ncsa|university of illinois ncsa open source|university of illinois ncsa",
    "OFL-1.1": "ofl|ofl 1.1|sil open font 1.1|sil open font|sil open font 1.1 ofl 1.1|sil ofl 1.1|open font",
    "PSF-2.0": "psf|psf 2|psfl|python foundation|python foundation psf|python psf|psf based",
    "Python-2.0": "python 2 cnri",
    "PostgreSQL": "postgresql",
    "Ruby": "ruby|ruby s",
    "SSPL-1.0": "sspl|sspl 1|server side public|server side public 1",
    "UPL-1.0": "upl|upl 1|universal permissive 1|universal permissive|universal permissive upl",
    "Unlicense": "unlicense|unlicense unlicense",
    "W3C": "w 3 c|w 3 c notice and",
    "WTFPL": "wtfpl|wtfpl 2|do what the fuck you want to public|do what fuck you want to public",
    "ZPL-2.1": "zpl|zpl 2.1|zope public|zope public 2.1",
    "Zlib": "zlib|zlib libpng|zlib png",
    "blessing": "blessing",
    SOME_BSD: "bsd|bsd like|bsd style",
    PUBLIC_DOMAIN: "public domain|publicdomain|public domain dedication",
    PROPRIETARY: "proprietary|other proprietary|unlicensed|commercial|all rights reserved|closed source|none",
})  # fmt: skip
