"""The secrets of a file's text, each with its kind and place, found in this process. Personal data: personal_data.py.

Looked for, in the text as it stands, over the joints of string literals, in base64 and in hex: the shapes of
data/secrets.py, keys from their header to their end, and what a name gives away (secret_names.py). As it stands only:
what detect-secrets' plugins know.

What is plainly a placeholder is no secret here, nor is a digest or a UUID that nothing calls a secret. Not here: the
engine with its hundreds of rules (secret_engine.py), and what is done about a find (redaction.py).

Of detect-secrets, these are left out: BasicAuthDetector and KeywordDetector, whose patterns take the square of a
line's length, as NpmDetector's does (all are here in a linear form), and the two of high entropy, which take every
digest and UUID for a secret (a value's randomness is asked for where a name says that it is one).
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tunesmith.data import secrets
from tunesmith.data.codebase import secret_names
from tunesmith.data.codebase.secret_names import is_placeholder, is_random, line_before
from tunesmith.data.secrets import Secret


class Finding(NamedTuple):
    """A find in a text: its kind as a code, and characters from 0, the end not in it."""

    kind: str
    start: int
    end: int


OWN_KINDS = (secret_names.PASSWORD, secret_names.SECRET_VALUE, "Artifactory token", "Cloudant key", "IBM Cloud key",
             "IBM storage key", "SoftLayer key")  # fmt: skip
"""In words: of what this file looks for and data/secrets.py does not."""
_ENCODED = re.compile(r" in (?:base64|hex|numbers)$")


def find(text: str) -> list[Finding]:
    """The secrets of a text, in order, none within or over another."""
    found = [*_listed(text)]
    found += (secret for secret in secrets.find(text, look=_plain) if not secret.example and not _is_list(text, secret))
    return merged(text, (Finding(code(kind), place - 1, place - 1 + length) for kind, place, length, _ in found))


def _is_list(text: str, secret: Secret) -> bool:
    """Whether a named value is several, which only lie side by side in a list."""
    span = text[secret.position - 1 : secret.position - 1 + secret.length]
    return secret.kind in (secret_names.PASSWORD, secret_names.SECRET_VALUE) and _LIST.search(span) is not None


_LIST = re.compile(r"[\"'`]\s*(?:,|\):?\s)\s*[\"'`\w]")


def code(words: str) -> str:
    """The code of a kind that is given in words; what is encoded has the kind of what it encodes."""
    while (cut := _ENCODED.sub("", words)) != words:
        words = cut
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def merged(text: str, found: Iterable[Finding]) -> list[Finding]:
    """Finds that overlap are one, of the most specific kind; each reaches to the end of its word."""
    joined: list[Finding] = []
    for finding in sorted(found, key=lambda f: (f.start, -f.end, f.kind)):
        if finding.kind != _PASSWORD and (rest := _REST.match(text, finding.end)) and text[finding.start].isalnum():
            finding = finding._replace(end=rest.end())
        if joined and finding.start < joined[-1].end:
            last = joined[-1]
            kind = min((last.kind, finding.kind), key=lambda kind: (_VAGUENESS.get(kind, 0), kind != _PRIVATE_KEY))
            joined[-1] = Finding(kind, last.start, max(last.end, finding.end))
        else:
            joined.append(finding)
    return joined


_REST = re.compile(r"[A-Za-z0-9_+/-]*+={0,2}")
_PASSWORD, _PRIVATE_KEY = "password", "private-key"
_VAGUENESS = {"secret-value": 3, _PASSWORD: 2, "authorization-header": 2, "json-web-token": 1}
"""Of two kinds, the one that says less gives way."""


def _plain(text: str) -> Iterator[Secret]:
    """What secrets.find is to look at a text with."""
    for secret in secrets.plain(text, but=secret_names.IN_URL):
        if secret.kind in _KEYS:
            yield secret if secret.example else _whole_key(text, secret)
        else:
            yield _judged(text, secret)
    yield from _bare_keys(text)
    yield from secret_names.find(text)


_KEYS = ("private key", "PuTTY private key")


_WITH_NAME = (
    "AWS secret key", "Azure storage key", "Azure shared access key", "Azure shared access signature",
    "authorization header",
)  # fmt: skip
"""Their patterns take the name before the value, which stays."""
_CORE = re.compile(r"[A-Za-z0-9+/%._~-]{12,}(?:={1,2}|%3[dD])?\Z")


def _judged(text: str, secret: Secret) -> Secret:
    """A test key can be used as well; it counts unless its value is a placeholder."""
    value = text[secret.position - 1 : secret.position - 1 + secret.length]
    if secret.kind == "Stripe test key":
        return secret._replace(example=is_placeholder(value))
    if secret.kind in _WITH_NAME:
        core = _CORE.search(value)
        assert core is not None  # their patterns end so
        return secret._replace(position=secret.position + core.start(), length=core.end() - core.start())
    return secret


# ---- keys ----

# Between two lines of a key: blanks, line ends as they are or escaped, borders of literals, marks of comments.
_GAP = r"(?:[\s\"'`+,()\[\]>#*|;.$&<%]|//|\\+[nrt\\]?|--(?!-)|[bru](?=[\"'])|\w{1,30}\s?\+=)"
_HEADER_LINE = r"(?:[A-Z][A-Za-z-]{3,15}: [^\n\\\"'`]{0,80})"
_KEY_LINES = re.compile(
    rf"(?:{_GAP}|{_HEADER_LINE})*+(?:[A-Za-z0-9+/=_]{{16,}}+{_GAP}*+)*+"
    rf"(?:[A-Za-z0-9+/]{{1,15}}={{0,2}}(?![\w(])|=?[A-Za-z0-9+/]{{4}})?+",
)
_FOOTER = re.compile(r"-----\s*(?:[\"'`][\s+.&,\\]{0,40}[\"'`])?END[^\n-]{0,60}(?:-----)?")
_PUTTY_END = re.compile(r"Private-MAC:\s*[0-9a-f]{40,64}")
_LONGEST_KEY = 20_000
"""Characters: an RSA key of 16,384 bits has 12,500, with escapes and borders half as many more."""


def _whole_key(text: str, header: Secret) -> Secret:
    """From the header to the footer; where that is missing, to where the lines of a key end."""
    start, body = header.position - 1, header.position - 1 + header.length
    front, back = ("PuTTY-User", _PUTTY_END) if header.kind == "PuTTY private key" else ("-----BEGIN", _FOOTER)
    another = text.find(front, body, body + _LONGEST_KEY)
    stop = another if another >= 0 else body + _LONGEST_KEY
    footer = back.search(text, body, stop)
    if footer:
        end = footer.end()
    else:
        lines = _KEY_LINES.match(text, body, stop)
        end = lines.end() if lines else body
    return header._replace(length=end - start)


_BARE_KEY = re.compile(
    r"(?<![A-Za-z0-9+/])(?:MII[A-Za-z0-9]{3}IBA(?:AKBg|AKCA|DANBgkqhkiG9w0BAQEFAASC)|MIICX[A-Za-z]IBAAKBg|MHcCAQEE"
    r"|MIGkAgEBBD|MIGHAgEAMBMGByqGSM49|MC4CAQAwBQYDK2Vw|b3BlbnNzaC1rZXktdjE|MII[A-Z][A-Za-z0-9]{2}BAKB)[A-Za-z0-9+/]{16,}={0,2}"
)
_BARE_HINTS = ("IBAAK", "IBADANBgk", "MHcCAQEE", "MIGkAgEBBD", "MIGHAgEAMB", "MC4CAQAwBQ", "b3BlbnNzaC1rZXkt")


def _bare_keys(text: str) -> Iterator[Secret]:
    """Keys without their header, as settings and environments hold them, and the numbers of a JSON web key."""
    if any(hint in text for hint in _BARE_HINTS):
        for match in _BARE_KEY.finditer(text):
            lines = _KEY_LINES.match(text, match.end(), match.end() + _LONGEST_KEY)
            assert lines is not None  # it matches nothing as well
            yield _secret("private key", match.start(), max(lines.end(), match.end()))
    if '"kty"' in text or "'kty'" in text:
        for match in _WEB_KEY.finditer(text):
            yield _secret("private key", *match.span(1))


_WEB_KEY = re.compile(r"[\"'](?:d|p|q|dp|dq|qi|k)\\?[\"']\s*:\s*\\?[\"']([A-Za-z0-9_-]{20,})")


# ---- the patterns of detect-secrets ----


class _Plugin(NamedTuple):
    kind: str
    hints: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]


# Module, class, kind, and one of what must be in a text for it to find anything, in small letters.
_PLUGINS = """
    artifactory       ArtifactoryDetector      artifactory-token  akc ap
    aws               AWSKeyDetector           aws-access-key     akia asia abia acca a3t aws
    azure_storage_key AzureStorageKeyDetector  azure-storage-key  accountkey=
    cloudant          CloudantDetector         cloudant-key       cloudant clou
    discord           DiscordBotTokenDetector  discord-token      m n o
    github_token      GitHubTokenDetector      github-token       ghp_ gho_ ghu_ ghs_ ghr_
    gitlab_token      GitLabTokenDetector      gitlab-token       glpat- gldt- glft- glsoat- glrt- gr1348941 glcbt-
    gitlab_token      GitLabTokenDetector      gitlab-token       glimt- glptt- glagent- gloas-
    ibm_cloud_iam     IbmCloudIamDetector      ibm-cloud-key      key pwd pass token
    ibm_cos_hmac      IbmCosHmacDetector       ibm-storage-key    secret
    jwt               JwtTokenDetector         json-web-token     eyj
    mailchimp         MailchimpDetector        mailchimp-key      -us
    openai            OpenAIDetector           openai-key         t3blbkfj
    pypi_token        PypiTokenDetector        pypi-token         pypi-
    sendgrid          SendGridDetector         sendgrid-key       sg.
    slack             SlackDetector            slack-token        xox hooks.slack.com
    softlayer         SoftlayerDetector        softlayer-key      softlayer sl_ slapi sl-
    square_oauth      SquareOAuthDetector      square-token       sq0csp-
    stripe            StripeDetector           stripe-live-key    k_live_
    telegram_token    TelegramBotTokenDetector telegram-bot-token :
    twilio            TwilioKeyDetector        twilio-key         ac sk
"""


@functools.cache
def _plugins() -> tuple[_Plugin, ...]:
    found = []
    for line in _PLUGINS.strip().splitlines():
        module, name, kind, *hints = line.split()
        plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
        found.append(_Plugin(kind, tuple(hints), tuple(plugin.denylist)))
    return tuple(found)


_VALUE = re.compile(r"[A-Za-z0-9+/_=.-]{20,}")
_DIGIT = re.compile(r"\d")
_BEFORE_VALUE = 60
"""Characters: a name, a sign, the front of a URL."""
_LONGEST_VALUE = 300
"""Longer are tokens in several parts, which have shapes of their own, and what no scanner knows."""


def _listed(text: str) -> Iterator[Secret]:
    """What detect-secrets' plugins find around the words that may be a value."""
    for word in (value for long in secrets.long_words(text) for value in _VALUE.finditer(text, *long.span())):
        if word.end() - word.start() > _LONGEST_VALUE or not _DIGIT.search(word[0]):
            continue
        first = word.start() - len(line_before(text, word.start(), _BEFORE_VALUE))
        near = text[first : word.end() + 1]
        small = near.lower()
        for plugin in _plugins():
            if any(hint in small for hint in plugin.hints):
                for start, end in _matched(plugin, near):
                    yield _secret(plugin.kind, first + start, first + end)


def _matched(plugin: _Plugin, near: str) -> Iterator[tuple[int, int]]:
    for match in (match for pattern in plugin.patterns for match in pattern.finditer(near)):
        group = match.lastindex or 0
        value, after = match[group], near[match.end(group) : match.end(group) + 1]
        # Some have no end to their pattern, and take the first half of a digest.
        if not after.isalnum() and is_random(value.strip('"= :')) and not is_placeholder(value):
            yield match.span(group)


def _secret(kind: str, start: int, end: int) -> Secret:
    return Secret(kind, start + 1, end - start, False)
