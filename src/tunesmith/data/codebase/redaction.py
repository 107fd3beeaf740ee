"""A text without its secrets and personal data: each replaced so that the code still parses, or the file is given up.

In: a text and what was found in it, by secret_scan.py and personal_data.py here, by the engine elsewhere. Out: the text
with typed placeholders and how many there are of each kind, or the reason why that cannot be. What was redacted is
looked at again: nothing may be left to find, and the parser may understand no less than before. The values
themselves are in no result, message or name.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from tunesmith.data import secrets
from tunesmith.data.codebase import personal_data, secret_scan
from tunesmith.data.codebase.languages import Language
from tunesmith.data.codebase.parsing import Failed, parse
from tunesmith.data.codebase.secret_engine import Found
from tunesmith.data.codebase.secret_scan import Finding

REASONS = {
    "secret": "holds a secret that cannot be replaced without breaking the code, or hardly anything else",
    "personal-data": "holds personal data that cannot be replaced without breaking the code",
}
"""Of what this file rejects: code -> what it means."""

PERSONAL = {
    personal_data.EMAIL: "an address of mail",
    personal_data.PHONE: "a telephone number with its country's",
    personal_data.IP: "an address of a machine on the public net",
    personal_data.CARD: "a number of a payment card, by its range and checksum",
    personal_data.IBAN: "a number of a bank account, by its checksum",
    personal_data.SSN: "a social security number of the United States",
}
"""Kinds of personal data -> what they are."""

MOST_FINDINGS = 500
LEAST_CODE = 30
"""Characters beside the secrets, without blanks: below, there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text that may be used."""

    text: str = field(repr=False)
    counts: dict[str, int]
    """Kind -> how many were replaced."""


class Unredactable(NamedTuple):
    """Why a file may not be used: a code of REASONS, and in words."""

    reason: str
    detail: str


def kinds() -> dict[str, str]:
    """Every kind that is found in this process -> what it is; the engine's rules are named by themselves."""
    named = {secret_scan.code(words): words for words in (*secrets.kinds(), *secret_scan.OWN_KINDS)}
    return dict(sorted((named | PERSONAL).items()))


def find(text: str) -> list[Finding]:
    """The secrets and the personal data of a text, in order, none over another."""
    return merged(text, secret_scan.find(text), personal_data.find(text))


def merged(text: str, *found: Iterable[Finding]) -> list[Finding]:
    """What several scanners found in one text; a secret's place is not also somebody's address."""
    every = [finding for findings in found for finding in findings]
    kept = secret_scan.merged(text, (finding for finding in every if finding.kind not in PERSONAL))
    starts = [finding.start for finding in kept]
    beside = []
    rest = {finding for finding in every if finding.kind in PERSONAL}
    for finding in rest:
        before = bisect_left(starts, finding.end) - 1
        if before < 0 or kept[before].end <= finding.start:
            beside.append(finding)
    return sorted(kept + beside, key=lambda finding: finding.start)


def of_engine(text: str, found: Iterable[Found]) -> list[Finding]:
    """The engine's finds in a text, of which it read the UTF-8: bytes become characters."""
    data = text.encode()

    def characters(place: int) -> int:
        return place if len(data) == len(text) else len(data[:place].decode("utf-8", "replace"))

    return [Finding(kind, characters(start), characters(end)) for _, kind, start, end in found]


def redact(
    path: str, text: str, findings: Sequence[Finding], language: Language | None = None
) -> Redacted | Unredactable:
    """The text without what was found, which is all of one text and in order (`merged`), or the reason against it."""
    if not findings:
        return Redacted(text, {})
    if len(findings) > MOST_FINDINGS:
        return Unredactable(
            _reason(findings[0]), f"{len(findings):,} finds; more than {MOST_FINDINGS} are a list, not code"
        )
    if _is_key_file(path, text, findings):
        return Unredactable("secret", "hardly anything but secrets, by its name or its content")
    every = merged(text, findings, _repeated(text, findings))
    clean = _replaced(text, every)
    # A build that does not ask for personal data gives none up for it.
    sought = {_reason(finding) for finding in findings}
    if left := [finding for finding in find(clean) if _reason(finding) in sought]:
        return Unredactable(_reason(left[0]), f"a find of the kind {left[0].kind} is left when all are replaced")
    if language is not None and language.is_parsed and not _is_read_as_well(text, clean, language):
        return Unredactable(_reason(every[0]), f"without it ({every[0].kind}), the code no longer parses")
    return Redacted(clean, dict(sorted(Counter(finding.kind for finding in every).items())))


def _reason(finding: Finding) -> str:
    return "personal-data" if finding.kind in PERSONAL else "secret"


def _is_key_file(path: str, text: str, findings: Sequence[Finding]) -> bool:
    own = [finding for finding in findings if finding.kind not in PERSONAL]
    if own and (_KEY_FILE.fullmatch(PurePosixPath(path).name) or _SERVICE_ACCOUNT.search(text[:1000])):
        return True
    solid = sum(not letter.isspace() for letter in text)
    secret = sum(not letter.isspace() for finding in own for letter in text[finding.start : finding.end])
    return bool(own) and solid - secret < LEAST_CODE


_SERVICE_ACCOUNT = re.compile(r"^\s*\{\s*\"type\":\s*\"service_account\"")
_KEY_FILE = re.compile(
    r"(?i)(?:id_(?:rsa|dsa|ecdsa|ed25519).*|.*\.(?:pem|key|ppk|p12|pfx|jks|keystore|asc|gpg|kdbx|ovpn)|\.env(?:\..*)?"
    r"|\.netrc|_netrc|\.npmrc|\.pypirc|\.htpasswd|\.pgpass|\.git-credentials|\.dockercfg|credentials"
    r"|.*service[-_]?account.*\.json|.*credentials.*\.json)"
)


def _repeated(text: str, findings: Sequence[Finding]) -> list[Finding]:
    """Where a secret stands a second time, with nothing near that gives it away."""
    kinds_of = {text[start:end]: kind for kind, start, end in findings if kind not in PERSONAL}
    more = []
    for value, kind in kinds_of.items():
        if len(value) >= _SURELY_ONE and any(map(str.isdigit, value)):
            at = text.find(value)
            while at >= 0:
                more.append(Finding(kind, at, at + len(value)))
                at = text.find(value, at + len(value))
    return more


_SURELY_ONE = 8
"""Characters: shorter values are words as well."""


def _replaced(text: str, findings: Sequence[Finding]) -> str:
    parts, last = [], 0
    for finding in findings:
        parts += [text[last : finding.start], _placeholder(finding.kind, text[finding.start : finding.end])]
        last = finding.end
    return "".join(parts) + text[last:]


def _placeholder(kind: str, value: str) -> str:
    """What stands for a value: a word that is valid wherever it stood; reserved addresses (RFC 2606, RFC 5737)."""
    if kind in _RESERVED:
        return _RESERVED[kind]
    if kind in (personal_data.CARD, personal_data.SSN):
        return re.sub(r"\d", "0", value)
    if kind == personal_data.IBAN:
        return "XX" + re.sub(r"[A-Z0-9]", "0", value[2:])
    name = "REDACTED_" + kind.upper().replace("-", "_")
    # Of several literals that are one value, the first gets the name and the others become empty.
    pieces = secrets.pieces(value)
    if len(pieces) == 1:
        return name
    first = next((number for number, (piece, _) in enumerate(pieces) if piece), 0)
    return "".join((name if number == first else "") + joint for number, (_, joint) in enumerate(pieces))


_RESERVED = {
    personal_data.EMAIL: "name@example.com",
    personal_data.PHONE: "+1 202 555 0100",  # of the numbers that are kept for stories
    personal_data.IP: "192.0.2.1",
}


def _is_read_as_well(text: str, clean: str, language: Language) -> bool:
    """Whether the parser understands no less of the clean text; what it did not before may have grown with it."""
    before, after = _misread(text, language), _misread(clean, language)
    return after <= before or 0 < before < after <= before + max(len(clean.encode()) - len(text.encode()), 0)


def _misread(text: str, language: Language) -> float:
    """How many bytes of a text the parser does not understand; more than all where it fails."""
    parsed = parse(text, language)
    return float("inf") if isinstance(parsed, Failed) else round(parsed.broken * len(parsed.data))
