"""Keys, tokens and passwords in a text. What is found is named and placed, never repeated.

Each kind is a pattern with the shape its issuer documents, tight enough to mean what it says; base64 is looked into,
twice, since keys hide there. Values that are plainly examples (documentation's own, repeated characters, "example") are
warnings at most. A floor, not a proof: a scanner made for the purpose looks at whole repositories.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple


class Secret(NamedTuple):
    """One find: what it looks like, where it begins (characters from 1) and how long it is."""

    kind: str
    position: int
    length: int
    example: bool
    """Plainly a placeholder."""


_PATTERNS: dict[str, str] = {
    "private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "PuTTY private key": r"PuTTY-User-Key-File-\d:",
    "AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "AWS secret key": r"(?i:aws.{0,20}secret.{0,20}['\"=:\s])[A-Za-z0-9/+]{40}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}\b",
    "Google API key": r"\bAIza[A-Za-z0-9_-]{35}\b",
    "Google OAuth secret": r"\bGOCSPX-[A-Za-z0-9_-]{28}\b",
    "Slack token": r"\bxox[abposr]-[A-Za-z0-9-]{10,}\b",
    "Slack webhook": r"https://hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}",
    "Stripe key": r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}\b",
    "OpenAI key": r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}\b",
    "Anthropic key": r"\bsk-ant-[A-Za-z0-9_-]{32,}\b",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "PyPI token": r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}\b",
    "SendGrid key": r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b",
    "Twilio key": r"\bSK[0-9a-f]{32}\b",
    "Mailgun key": r"\bkey-[0-9a-f]{32}\b",
    "Azure storage key": r"AccountKey=[A-Za-z0-9+/]{86}==",
    "DigitalOcean token": r"\bdo[opr]_v1_[0-9a-f]{64}\b",
    "Telegram bot token": r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
    "password in a URL": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"{}<>$]{1,64}:[^\s:/@'\"{}<>$]{4,128}@[\w.-]+",
}
_ANY = re.compile("|".join(f"(?P<k{i}>{pattern})" for i, pattern in enumerate(_PATTERNS.values())))
_KINDS = list(_PATTERNS)
# A text without any of these has no secret of the kinds above; most texts end here.
_HINTS = re.compile(
    r"PRIVATE KEY|PuTTY-|A[KSBC][IC]A|(?i:secret)|gh[pousr]_|github_pat_|glpat-|AIza|GOCSPX|xox[abposr]-|hooks\.slack|"
    r"k_(?:live|test)_|sk-|hf_|npm_|pypi-|SG\.|SK[0-9a-f]{8}|key-|AccountKey|do[opr]_v1_|:AA|eyJ|://"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_EXAMPLE = re.compile(
    r"(?i)example|placeholder|changeme|change-me|your[-_ ]|xxxx|dummy|<[a-z_ -]+>|user:pass|password@|:secret@"
)
_MAX_LAYERS = 2


def find(text: str, layers: int = _MAX_LAYERS) -> Iterator[Secret]:
    """The secrets of a text, also those in base64 (and in base64 inside it), in the order of their places."""
    # A key may be written as one line with \\n for its line ends, or be split over string literals.
    if _HINTS.search(text):
        for match in _ANY.finditer(text):
            assert match.lastgroup is not None
            kind = _KINDS[int(match.lastgroup[1:])]
            yield Secret(kind, match.start() + 1, match.end() - match.start(), _is_example(kind, match[0]))
    if _is_split_key(text):
        yield Secret("private key", text.index("-----") + 1, len("-----BEGIN"), False)
    if layers:
        yield from _encoded(text, layers)


def _encoded(text: str, layers: int) -> Iterator[Secret]:
    for match in _BASE64.finditer(text):
        inner = _decoded(match[0])
        if inner is None:
            continue
        for secret in find(inner, layers - 1):
            yield Secret(f"{secret.kind} in base64", match.start() + 1, len(match[0]), secret.example)


def _decoded(text: str) -> str | None:
    """The text that a base64 run holds; None if it holds no text."""
    body = text.rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _is_split_key(text: str) -> bool:
    """A private key's first line put together from string literals: "-----BEGIN " + "PRIVATE KEY-----"."""
    if "-----BEGIN" not in text or "PRIVATE" not in text:
        return False
    joined = re.sub(r"[\"'+\\,()\s]+", " ", text)
    return bool(re.search(_PATTERNS["private key"].replace("PRIVATE KEY", "PRIVATE ?KEY"), joined)) and not re.search(
        _PATTERNS["private key"], text
    )


def _is_example(kind: str, value: str) -> bool:
    if "private key" in kind.lower():
        return False
    if _EXAMPLE.search(value):
        return True
    body = re.sub(r"[^A-Za-z0-9]", "", value[4:])
    return bool(body) and Counter(body).most_common(1)[0][1] > 0.6 * len(body)
