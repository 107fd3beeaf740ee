"""Keys, tokens and passwords in a text. What is found is named and placed, never repeated.

Each kind is a pattern with the shape its issuer documents, tight enough to mean what it says. Keys hide in string
literals that are put together (`"AKI" + "A..."`) and in base64, also wrapped and in base64 again: all are looked
into. Values that are plainly examples (documentation's own, repeated characters, "example", a key's header without a
key) are marked as such. A floor, not a proof: a scanner made for the purpose looks at whole repositories.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
import string
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

MAX_LAYERS = 3
"""Base64 inside base64 inside base64; each layer costs one more look at what was decoded."""


class Secret(NamedTuple):
    """One find: what it looks like, where it begins (characters from 1) and how long it is."""

    kind: str
    position: int
    length: int
    example: bool
    """Plainly a placeholder."""


_STRIPE_TEST = "Stripe test key"
_PRIVATE_KEY = "private key"
_URL = "password in a URL"


class _Shape(NamedTuple):
    """How one kind looks. Most texts have none of the hints and cost no more than looking for those."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


def _shape(kind: str, hints: str, pattern: str) -> _Shape:
    return _Shape(kind, tuple(hints.split()), re.compile(pattern))


@functools.cache
def _shapes() -> tuple[_Shape, ...]:
    return (
        # Blanks only where words are, and the words may be run together by a join.
        _shape(_PRIVATE_KEY, "-----BEGIN", r"-----BEGIN\s*+[A-Z0-9 ]{0,24}?\s?PRIVATE\s*+KEY(?:\s*+BLOCK)?-----"),
        _shape("PuTTY private key", "PuTTY-User-Key", r"PuTTY-User-Key-File-\d:"),
        _shape("age secret key", "AGE-SECRET", r"\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b"),
        _shape("AWS access key", "AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
        _shape(
            "AWS secret key",
            "ecret ECRET",
            r"(?i:aws.{0,20}secret.{0,20}|secret_?access_?key.{0,5})['\"=:\s][A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
        ),
        _shape(
            "GitHub token",
            "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
            r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b",
        ),
        _shape("GitLab token", "glpat- gldt- glrt- glptt- glcbt-", r"\bgl(?:pat|dt|rt|ptt|cbt)-[A-Za-z0-9_-]{20,}"),
        _shape("Google API key", "AIza", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        _shape("Google OAuth secret", "GOCSPX-", r"\bGOCSPX-[A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])"),
        _shape("Slack token", "xox xapp-", r"\b(?:xox[abeposr]|xapp)-[A-Za-z0-9-]{10,}"),
        _shape(
            "Slack webhook",
            "hooks.slack.com",
            r"https://hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}",
        ),
        _shape("Stripe live key", "k_live_", r"\b[sr]k_live_[A-Za-z0-9]{16,}\b"),
        _shape(_STRIPE_TEST, "k_test_", r"\b[sr]k_test_[A-Za-z0-9]{16,}\b"),
        _shape("Anthropic key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{32,}"),
        # Digits and capitals: names of CSS classes begin with sk- too.
        _shape(
            "OpenAI key", "sk-", r"\bsk-(?!ant-)(?=[A-Za-z_-]{0,199}\d)(?=[a-z0-9_-]{0,199}[A-Z])[A-Za-z0-9_-]{32,}"
        ),
        _shape("Hugging Face token", "hf_", r"\bhf_[A-Za-z0-9]{30,}\b"),
        _shape("npm token", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
        _shape("PyPI token", "pypi-AgEI", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
        _shape("SendGrid key", "SG.", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),
        _shape("Twilio key", "SK", r"\bSK[0-9a-f]{32}\b"),
        _shape("Mailgun key", "key-", r"\bkey-[0-9a-f]{32}\b"),
        _shape("Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
        _shape("Azure client secret", "Q~", r"\b[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
        _shape("DigitalOcean token", "_v1_", r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
        _shape("Docker token", "dckr_pat_", r"\bdckr_pat_[A-Za-z0-9_-]{27,}"),
        _shape("Databricks token", "dapi", r"\bdapi[0-9a-f]{32}\b"),
        _shape("Shopify token", "shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
        _shape("Vault token", "hvs. hvb.", r"\bhv[sb]\.[A-Za-z0-9_-]{24,}"),
        _shape("Telegram bot token", ":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
        _shape("JSON web token", "eyJ", r"\beyJ[A-Za-z0-9_-]{10,999}\.eyJ[A-Za-z0-9_-]{10,4999}\.[A-Za-z0-9_-]{20,}"),
        # From the :// on, which is quick to find. A password that begins with $ is a variable, braces are a template's.
        _shape(
            _URL,
            "://",
            r"(?<=[a-z0-9])://[^\s:/@'\"{}<>$]{0,64}:(?!\d{1,5},)[^\s:/@'\"{}<>$][^\s/@'\"{}<>]{3,127}@[\w.-]+",
        ),
    )


# What stands between two string literals that are one string: "a" + "b", 'a' 'b', "a" \ , ["a", "b"].
_JOINT = re.compile(r"[\"'`]\s*+(?:[+.&,\\]\s*+)?[\"'`]")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{40,}")
# The next line of a run that is wrapped: a line end, as it is or escaped, perhaps with quotes around it.
_NEXT_LINE = re.compile(r"[\"' \t+,]*+(?:\\r)?(?:\\n|\r?\n)[ \t\"'+]*+(?:\r?\n)?[ \t\"']*+([A-Za-z0-9+/_-]++)")
_SCHEME = string.ascii_lowercase + string.digits + "+.-"
_TEXT_BYTES = string.printable.encode()

# What follows a key's header: literal borders, line ends, headers such as Proc-Type; then the key itself, or the end
# of a text that was cut there.
_KEY_BODY = re.compile(
    r"(?:[\s\"'`+,()>#*|-]|\\+[nrt\\]?|[A-Z][A-Za-z-]{3,15}: [^\n\\]{0,80})*+"
    r"(?:MI[IGHCE][A-Za-z0-9]|b3Bl|[A-Za-z0-9+/=]{16}|\Z)",
    re.S,
)
_EXAMPLE = re.compile(
    r"(?i)example|placeholder|change-?me|your[-_ ]|xxxx|dummy|redacted|not-?a-?real|fake|<[a-z_ -]+>|1234567890abcdef"
)
# Published in their makers' documentation: jwt.io's token, and the key of the Azure storage emulator.
_DOCUMENTED = ("SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2U")
_WEAK_PASSWORD = re.compile(r"(?i)^(?:.{0,3}pass(?:word|wd)?.{0,4}|secret|pwd|pw|test|admin|root|guest|\*+|\.+|%.*)$")
_NOWHERE = re.compile(r"(?i)@(?:localhost|127\.|0\.0\.0\.0|host\b|db\b|.*\.(?:test|invalid|local)$|.*example)")


def find(text: str, layers: int = MAX_LAYERS) -> Iterator[Secret]:
    """The secrets of a text: as they stand, then in joined literals, then in base64 up to so many layers deep."""
    yield from _plain(text)
    yield from _joined(text)
    if layers:
        yield from _encoded(text, layers)


def redact(text: str) -> str:
    """The text with the kind of each secret in place of the secret."""
    for secret in sorted(find(text), key=lambda secret: -secret.position):
        start = secret.position - 1
        text = f"{text[:start]}[{secret.kind}]{text[start + secret.length :]}"
    return text


def _plain(text: str) -> Iterator[Secret]:
    for shape in _shapes():
        if any(hint in text for hint in shape.hints):
            for match in shape.pattern.finditer(text):
                start, end = match.span()
                if shape.kind == _URL:
                    start = len(text[:start].rstrip(_SCHEME))
                example = _is_example(shape.kind, text[start:end], text, end)
                yield Secret(shape.kind, start + 1, end - start, example)


def _joined(text: str) -> Iterator[Secret]:
    """Secrets that only appear when neighbouring string literals are put together."""
    joints = [match.span() for match in _JOINT.finditer(text)]
    if not joints:
        return
    whole = _JOINT.sub("", text)
    # In `whole`: where each joint was; a secret counts if it spans one, otherwise it was found as it stands.
    removed = 0
    cuts, shifts = [0], [0]
    for start, end in joints:
        cuts.append(start - removed)
        removed += end - start
        shifts.append(removed)
    for secret in _plain(whole):
        start, end = secret.position - 1, secret.position - 1 + secret.length
        first, last = bisect_right(cuts, start) - 1, bisect_right(cuts, end - 1) - 1
        if last > first:
            begin = start + shifts[first]
            yield secret._replace(position=begin + 1, length=end + shifts[last] - begin)


def _encoded(text: str, layers: int) -> Iterator[Secret]:
    done = 0
    for match in _BASE64.finditer(text):
        if match.start() < done:
            continue
        run, done = _unwrapped(text, match)
        for inner in _decoded(run):
            found = list(find(inner, layers - 1))
            for secret in found[:1]:  # what it is; where in there is of no use to a reader
                yield Secret(f"{secret.kind} in base64", match.start() + 1, done - match.start(), secret.example)
            if found:
                break


def _unwrapped(text: str, match: re.Match[str]) -> tuple[str, int]:
    """The run with the lines that go on with it, and where they end: all are as long as the first but the last."""
    width, end = len(match[0]), match.end()
    lines = [match[0]]
    while len(lines[-1]) == width and (more := _NEXT_LINE.match(text, end)) and len(more[1]) <= width:
        lines.append(more[1])
        end = more.end()
    return "".join(lines), end


def _decoded(run: str) -> Iterator[str]:
    """The texts that a run holds, read from each of its first four characters: letters may touch its front."""
    plain = run.translate({ord("-"): "+", ord("_"): "/"})
    for offset in range(4):
        body = plain[offset:]
        try:
            data = base64.b64decode(body[: len(body) // 4 * 4] + _padded(body[len(body) // 4 * 4 :]))
        except (binascii.Error, ValueError):
            continue
        if len(data.translate(None, _TEXT_BYTES)) <= len(data) // 4:
            yield data.decode("utf-8", "replace")


def _padded(rest: str) -> str:
    return rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""


def _is_example(kind: str, value: str, text: str, end: int) -> bool:
    if kind == _PRIVATE_KEY:
        return not _KEY_BODY.match(text, end)
    if kind == _STRIPE_TEST:
        return True
    if kind == _URL:
        return _is_example_url(value)
    return bool(_EXAMPLE.search(value)) or any(known in value for known in _DOCUMENTED) or _is_monotonous(value)


def _is_example_url(url: str) -> bool:
    """A password that means nothing, or one without digits for a host that nobody has."""
    user, _, password = url.partition("://")[2].rpartition("@")[0].partition(":")
    if password == user or _WEAK_PASSWORD.match(password) or _EXAMPLE.search(password) or _is_monotonous(password, 0):
        return True
    return bool(_NOWHERE.search(url)) and not re.search(r"\d", password)


def _is_monotonous(value: str, prefix: int = 4) -> bool:
    """More than half of it is one character."""
    body = re.sub(r"[^A-Za-z0-9]", "", value[prefix:])
    return bool(body) and Counter(body).most_common(1)[0][1] > 0.5 * len(body)
