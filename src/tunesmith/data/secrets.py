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
from collections.abc import Callable, Iterator
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
    is_word: bool = True
    """Whether it lies within one long word (_LONG_WORD)."""


def _shape(kind: str, hints: str, pattern: str) -> _Shape:
    return _Shape(kind, tuple(hints.split()), re.compile(pattern))


def _spread(kind: str, hints: str, pattern: str) -> _Shape:
    """A shape of several words."""
    return _Shape(kind, tuple(hints.split()), re.compile(pattern), is_word=False)


@functools.cache
def _shapes() -> tuple[_Shape, ...]:
    return (*_of_words(), *_prefixed(), *_of_several_words())


def _of_words() -> tuple[_Shape, ...]:
    return (
        _shape("AWS access key", "AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
        _shape(
            "GitHub token",
            "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
            r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b",
        ),
        _shape(
            "GitLab token",
            "glpat- gldt- glft- glrt- glptt- glcbt- glsoat- gloas- glimt- glagent- GR1348941",
            r"\b(?:gl(?:pat|dt|ft|rt|ptt|cbt|soat|imt|agent)-|gloas-|GR1348941)[A-Za-z0-9_-]{20,}",
        ),
        _shape("Slack token", "xox xapp-", r"\b(?:xox[abeposr]|xapp)(?:\.xox[bp])?-[A-Za-z0-9-]{10,}"),
        _shape(
            "Slack webhook",
            "hooks.slack.com",
            r"https://hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{20,}",
        ),
        _shape("Stripe live key", "k_live_", r"\b[sr]k_live_[A-Za-z0-9]{16,}\b"),
        _shape(_STRIPE_TEST, "k_test_", r"\b[sr]k_test_[A-Za-z0-9]{16,}\b"),
        # Digits and capitals: names of CSS classes begin with sk- too.
        _shape(
            "OpenAI key", "sk-", r"\bsk-(?!ant-)(?=[A-Za-z_-]{0,199}\d)(?=[a-z0-9_-]{0,199}[A-Z])[A-Za-z0-9_-]{32,}"
        ),
        _shape(
            "Discord token",
            ".",
            r"[MNO](?<![A-Za-z0-9_]{2})[A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}(?![A-Za-z0-9_.-])",
        ),
        _shape(
            "Discord webhook", "/api/webhooks/", r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{40,}"
        ),
        _shape("Teams webhook", ".webhook.office.com/", r"https://\w+\.webhook\.office\.com/\w+/[\w@/-]{40,}"),
        _shape("Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{86}=="),
        _shape("Azure shared access signature", "sig=", r"(?<=[?&;\s\"'])sig=[A-Za-z0-9+/%]{40,}(?:=|%3[dD])?"),
        _shape("Azure shared access key", "AccessKey=", r"\b(?:Shared)?AccessKey=[A-Za-z0-9+/]{40,}={0,2}"),
        _shape("Azure client secret", "Q~", r"\b[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
        _shape("Square token", "sq0", r"\bsq0[a-z]{3}-[A-Za-z0-9_-]{22,}\b"),
        _shape("Mailchimp key", "-us", r"\b[0-9a-f]{32}-us\d{1,2}\b"),
        _shape("Telegram bot token", ":AA", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
        _shape("JSON web token", "eyJ", r"\beyJ[A-Za-z0-9_-]{10,999}\.eyJ[A-Za-z0-9_-]{10,4999}\.[A-Za-z0-9_-]{20,}"),
    )


def _of_several_words() -> tuple[_Shape, ...]:
    return (
        # Blanks only where words are, and the words may be run together by a join.
        _spread(_PRIVATE_KEY, "-----BEGIN", r"-----BEGIN\s*+[A-Z0-9 ]{0,24}?\s?PRIVATE\s*+KEY(?:\s*+BLOCK)?-----"),
        _spread("PuTTY private key", "PuTTY-User-Key", r"PuTTY-User-Key-File-\d:"),
        _spread(
            "AWS secret key",
            "ecret ECRET",
            r"(?:[Aa][Ww][Ss].{0,20}(?i:secret).{0,20}|[Ss](?i:ecret_?access_?key).{0,5})['\"=:\s]"
            r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
        ),
        _spread(
            "authorization header",
            "asic earer",
            r"[Bb](?:asic|earer)\s+(?=[^\s\"'`]*[0-9=])(?=[^\s\"'`]*[A-Za-z])[A-Za-z0-9+/._~-]{16,}={0,2}",
        ),
        # From the :// on, which is quick to find. A password that begins with $ is a variable, braces are a template's.
        _spread(
            _URL,
            "://",
            r"(?<=[a-z0-9])://[^\s:/@'\"{}<>$]{0,64}:(?!\d{1,5},)[^\s:/@'\"{}<>$][^\s/@'\"{}<>]{3,127}@[\w.-]+",
        ),
    )


@functools.cache
def _hinted() -> tuple[list[tuple[str, _Shape]], list[tuple[str, _Shape]]]:
    """Each hint with its shape: of those within a word, and of the others."""
    pairs = [(hint, shape) for shape in _shapes() for hint in shape.hints]
    return [pair for pair in pairs if pair[1].is_word], [pair for pair in pairs if not pair[1].is_word]


def _prefixed() -> Iterator[_Shape]:
    """The kinds that a prefix of their issuer's gives away."""
    for line in _PREFIXES.strip().splitlines():
        kind, prefix, rest = line.split("|", 2)
        yield _Shape(kind.strip(), (prefix.strip(),), re.compile(rf"\b{re.escape(prefix.strip())}{rest.strip()}"))


# Kind | prefix | what follows it. A rest of words and dashes alone is long, so that no name is taken for one.
_PREFIXES = r"""
    1Password token           | ops_eyJ             | [A-Za-z0-9+/=_-]{100,}
    Adafruit key              | aio_                | [A-Za-z0-9]{28}\b
    age secret key            | AGE-SECRET-KEY-1    | [0-9A-Z]{58}\b
    Airtable token            | pat                 | [A-Za-z0-9]{14}\.[0-9a-f]{64}\b
    Alibaba access key        | LTAI                | [A-Za-z0-9]{17,21}\b
    Anthropic key             | sk-ant-             | [A-Za-z0-9_-]{32,}
    Artifactory token         | AKCp                | [A-Za-z0-9]{60,}
    Asana token               | 1/                  | \d{16}:[0-9a-f]{32}\b
    Atlassian token           | ATATT3              | [A-Za-z0-9_=-]{60,}
    Bitbucket token           | ATBB                | [A-Za-z0-9]{28,}
    Braintree token           | access_token$       | (?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}
    Buildkite token           | bkua_               | [0-9a-f]{40}\b
    CircleCI token            | CCIPAT_             | [A-Za-z0-9]{22}_[0-9a-f]{40}
    Clojars token             | CLOJARS_            | [0-9a-f]{60}\b
    Contentful token          | CFPAT-              | [A-Za-z0-9_-]{43}
    crates.io token           | cio                 | [A-Za-z0-9]{32}\b
    Databricks token          | dapi                | [0-9a-f]{32}\b
    DigitalOcean token        | doo_v1_             | [0-9a-f]{64}\b
    DigitalOcean token        | dop_v1_             | [0-9a-f]{64}\b
    DigitalOcean token        | dor_v1_             | [0-9a-f]{64}\b
    Docker token              | dckr_oat_           | [A-Za-z0-9_-]{27,}
    Docker token              | dckr_pat_           | [A-Za-z0-9_-]{27,}
    Doppler token             | dp.                 | (?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]+\.)?[A-Za-z0-9]{40,44}\b
    Dropbox token             | sl.                 | [A-Za-z0-9_-]{100,}
    Duffel token              | duffel_             | (?:live|test)_[A-Za-z0-9_=-]{43}
    Dynatrace token           | dt0c01.             | [A-Z0-9]{24}\.[A-Z0-9]{64}
    EasyPost key              | EZ                  | [AT]K[A-Za-z0-9]{54}\b
    Facebook token            | EAA                 | [A-Za-z0-9]{80,}
    Figma token               | figd_               | [A-Za-z0-9_-]{38,}
    Flutterwave key           | FLWSECK             | [A-Z_]*-[0-9a-zA-Z]{12,}
    Frame.io token            | fio-u-              | [A-Za-z0-9_=-]{60,}
    Google API key            | AIza                | [A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])
    Google OAuth secret       | GOCSPX-             | [A-Za-z0-9_-]{28}(?![A-Za-z0-9_-])
    Google OAuth token        | 1//0                | [A-Za-z0-9_-]{28,}
    Google OAuth token        | ya29.               | [A-Za-z0-9_-]{28,}
    Grafana Cloud token       | glc_                | [A-Za-z0-9+/]{32,}={0,2}
    Grafana token             | glsa_               | [A-Za-z0-9]{32}_[0-9A-Fa-f]{8}\b
    Groq key                  | gsk_                | [A-Za-z0-9]{40,}\b
    Hashicorp Terraform token | .atlasv1.           | [A-Za-z0-9_=-]{60,}
    Heroku key                | HRKU-               | [A-Za-z0-9_-]{36,}
    Hugging Face token        | hf_                 | [A-Za-z0-9]{30,}\b
    Instagram token           | IGQV                | [A-Za-z0-9_-]{60,}
    LangSmith key             | lsv2_               | (?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}
    Linear key                | lin_                | (?:api|oauth)_[A-Za-z0-9]{40,}
    Mailgun key               | key-                | [0-9a-f]{32}\b
    Mapbox token              | sk.eyJ              | [A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}
    Netlify token             | nfp_                | [A-Za-z0-9]{36,}
    New Relic key             | NRAK-               | [A-Z0-9]{27}\b
    New Relic licence         | NRJS-               | [0-9a-f]{19}\b
    Notion secret             | secret_             | [A-Za-z0-9]{43}\b
    Notion token              | ntn_                | [A-Za-z0-9]{40,}
    npm token                 | npm_                | [A-Za-z0-9]{36}\b
    NuGet key                 | oy2                 | [a-z0-9]{43}\b
    OpenRouter key            | sk-or-v1-           | [0-9a-f]{64}\b
    PayPal token              | A21AA               | [A-Za-z0-9_-]{80,}
    Perplexity key            | pplx-               | [A-Za-z0-9]{40,}
    Pinecone key              | pcsk_               | [A-Za-z0-9_]{40,}
    PlanetScale token         | pscale_             | (?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}
    Postman key               | PMAK-               | [0-9a-f]{24}-[0-9a-f]{34}\b
    Prefect key               | pnu_                | [A-Za-z0-9]{36}\b
    Pulumi token              | pul-                | [0-9a-f]{40}\b
    PyPI test token           | pypi-AgENdGVzdC5weXBpLm9yZw | [A-Za-z0-9_-]{50,}
    PyPI token                | pypi-AgEIcHlwaS5vcmc | [A-Za-z0-9_-]{50,}
    Razorpay key              | rzp_                | (?:live|test)_[A-Za-z0-9]{14,}\b
    ReadMe key                | rdme_               | [a-z0-9]{70}\b
    Replicate token           | r8_                 | [A-Za-z0-9]{37,}\b
    RubyGems key              | rubygems_           | [0-9a-f]{48}\b
    SendGrid key              | SG.                 | [A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])
    Sendinblue key            | xkeysib-            | [0-9a-f]{64}-[A-Za-z0-9]{16}
    Sentry token              | sntrys_             | [A-Za-z0-9+/=_]{40,}
    Sentry user token         | sntryu_             | [0-9a-f]{64}\b
    Shippo token              | shippo_             | (?:live|test)_[0-9a-f]{40}\b
    Shopify token             | shpat_              | [0-9a-fA-F]{32}\b
    Shopify token             | shpca_              | [0-9a-fA-F]{32}\b
    Shopify token             | shppa_              | [0-9a-fA-F]{32}\b
    Shopify token             | shpss_              | [0-9a-fA-F]{32}\b
    Sourcegraph token         | sgp_                | (?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}\b
    Square token              | EAAA                | [A-Za-z0-9_-]{60}\b
    Stripe organisation key   | sk_org_             | (?:live|test)_[A-Za-z0-9]{24,}
    Stripe webhook secret     | whsec_              | [A-Za-z0-9+/]{24,}={0,2}
    Supabase key              | sb_secret_          | [A-Za-z0-9_-]{22,}
    Supabase token            | sbp_                | [0-9a-f]{40}\b
    Tailscale key             | tskey-              | [a-z]+-[A-Za-z0-9]{8,}-[A-Za-z0-9]{20,}
    Tencent secret            | AKID                | [A-Za-z0-9]{32}\b
    Together key              | tgp_v1_             | [A-Za-z0-9_-]{40,}
    Twilio key                | SK                  | [0-9a-f]{32}\b
    Twitter token             | AAAAAAAAA           | [A-Za-z0-9%]{60,}
    Typeform token            | tfp_                | [A-Za-z0-9_.=-]{40,}
    Vault token               | hvb.                | [A-Za-z0-9_-]{24,}
    Vault token               | hvr.                | [A-Za-z0-9_-]{24,}
    Vault token               | hvs.                | [A-Za-z0-9_-]{24,}
    Vercel token              | vercel_             | (?=[A-Za-z0-9_]*\d)(?=[a-z0-9_]*[A-Z])[A-Za-z0-9_]{24,}
    Weights and Biases key    | wandb_v1_           | [A-Za-z0-9_]{40,}
    xAI key                   | xai-                | [A-Za-z0-9]{60,}
    Yandex key                | AQVN                | [A-Za-z0-9_-]{35,38}\b
    Yandex token              | y0_                 | [A-Za-z0-9_-]{50,}
    Zapier webhook            | hooks.zapier.com/hooks/catch/ | \d+/\w{6,}
"""

# What stands between two string literals that are one string: "a" + "b", 'a' 'b', "a" \ , ["a", "b"], x += "b",
# .append("b"); the second may have a letter of its language in front. Also where the code is itself in a literal.
_BETWEEN = (
    r"(?:[ \t]*+(?:\#|//)[^\n\"'`]{0,200}(?=\n))?[\s;)]*+"
    r"(?:(?:[+.&,\\|]\s*+){1,3}|<<\s*+|[$\w]{1,60}\s*+(?:\+=|\.=|<<)\s*+"
    r"|(?:[$\w]{1,60})?(?:\.|->)(?:append|add|concat|push|push_str|write|WriteString)\(\s*+)?"
    r"\(?(?:[rRbBfFuUL@$]{1,2})?"
)
_JOINT = re.compile(rf"[\"'`]{_BETWEEN}[\"'`]")
_JOINT_IN_LITERAL = re.compile(rf"\\{{1,3}}[\"'`]{_BETWEEN}\\{{1,3}}[\"'`]|[\"'`]{_BETWEEN}[\"'`]")
_AROUND_JOINT = 600
"""Characters: what is looked at on either side of a joint. The longest token that people split has half of it."""
_LONG_WORD = re.compile(r"[A-Za-z0-9_+/=.:~$%@-]{20,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24,}")
"""The shortest: an AWS key of 20 characters has 27."""
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_ESCAPED = tuple(
    (front, re.compile(rf"{re.escape(front)}[0-9a-fA-F]{{2}}(?:{re.escape(front)}[0-9a-fA-F]{{2}}){{7,}}"))
    for front in ("\\x", "\\u00", "%")
)
_NUMBER = r"(?:0x[0-9a-fA-F]{2}|[1-9]\d{1,2})"
_NUMBERS = re.compile(rf",(?:\s{{0,20}}{_NUMBER}\s{{0,20}},){{14,}}\s{{0,20}}{_NUMBER}?")
_FIRST_NUMBER = re.compile(rf"{_NUMBER}\s{{0,20}}\Z")
"""Characters by their numbers; from the first comma on, which is quick to find, and the number before it."""
_BASE32 = re.compile(r"[A-Z2-7]{32,}")
# The next line of a run that is wrapped: a line end, as it is or escaped, perhaps with quotes around it.
_NEXT_LINE = re.compile(
    r"[\"' \t+,]*+(?:\\r)?(?:\\n|\r?\n)[ \t\"'+]*+(?:\r?\n)?[ \t\"']*+"
    r"(?:(?:\#|//(?=[ \t])|\*(?=[ \t])|--(?=[ \t]))[ \t]*+)?([A-Za-z0-9+/_-]++)"
    r"(?=={0,2}(?:[\"'`\\]|[ \t,;)\]]*+(?:\r?\n|\Z)))"
)
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
    r"(?i)example|placeholder|change-?me|your[-_ ]|(?-i:xxxx|XXXX)|dummy|redacted|not-?a-?real|(?<![a-z])fake"
    r"|<[a-z_ -]+>|1234567890abcdef"
)
# Published in their makers' documentation: jwt.io's token, and the key of the Azure storage emulator.
_DOCUMENTED = ("SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2U")
_WEAK_PASSWORD = re.compile(r"(?i)^(?:.{0,3}pass(?:word|wd)?.{0,4}|secret|pwd|pw|test|admin|root|guest|\*+|\.+|%.*)$")
_NOWHERE = re.compile(r"(?i)@(?:localhost|127\.|0\.0\.0\.0|host\b|db\b|.*\.(?:test|invalid|local)$|.*example)")


Look = Callable[[str], Iterator[Secret]]


def find(text: str, layers: int = MAX_LAYERS, look: Look | None = None) -> Iterator[Secret]:
    """The secrets of a text: as they stand, then in joined literals, then in base64 or hex up to so many layers deep.

    look  what finds those that stand as they are; `plain` unless somebody has more
    """
    look = look or plain
    yield from look(text)
    yield from _joined(text, look)
    if layers:
        yield from _encoded(text, layers, look)


def kinds() -> list[str]:
    """Every kind, in words."""
    return [shape.kind for shape in _shapes()]


def pieces(text: str) -> list[tuple[str, str]]:
    """What a secret over several literals consists of: each piece with the joint behind it, the last one's empty."""
    joints = _joints(text)
    starts = [0, *(joint.end() for joint in joints)]
    ends = [*(joint.start() for joint in joints), len(text)]
    between = [*(joint[0] for joint in joints), ""]
    return [(text[start:end], joint) for start, end, joint in zip(starts, ends, between, strict=True)]


def redact(text: str) -> str:
    """The text with the kind of each secret in place of the secret."""
    for secret in sorted(find(text), key=lambda secret: -secret.position):
        start = secret.position - 1
        text = f"{text[:start]}[{secret.kind}]{text[start + secret.length :]}"
    return text


def plain(text: str, but: str = "") -> Iterator[Secret]:
    """The secrets that stand in a text as they are, of all kinds but one."""
    # Most shapes lie within one long word; those are a tenth of a code's characters.
    words = [match[0] for match in long_words(text)]
    escaped = "\\" in text
    if escaped:  # the letter of an escape is none of the word behind it
        words += [word[1:] for word in words if word[0] in "nrt"]
    whole = "\n".join(words)
    in_words, spread = _hinted()
    seen = [shape for hint, shape in in_words if hint in whole and shape.pattern.search(whole)]
    seen += [shape for hint, shape in spread if hint in text]
    if seen and escaped:
        text = text.replace("\\n", "  ").replace("\\t", "  ").replace("\\r", "  ")
    for shape in dict.fromkeys(seen):
        if shape.kind != but:
            yield from _fitting(shape, text)


@functools.lru_cache(maxsize=8)
def long_words(text: str) -> list[re.Match[str]]:
    """Runs of the characters that tokens and encodings are made of. Several look at those of one text in turn."""
    return list(_LONG_WORD.finditer(text))


def _fitting(shape: _Shape, text: str) -> Iterator[Secret]:
    for match in shape.pattern.finditer(text):
        start, end = match.span()
        if shape.kind == _URL:
            start = len(text[:start].rstrip(_SCHEME))
        yield Secret(shape.kind, start + 1, end - start, _is_example(shape.kind, text[start:end], text, end))


def _joined(text: str, look: Look) -> Iterator[Secret]:
    """Secrets that only appear when neighbouring string literals are put together."""
    joints = [match.span() for match in _joints(text)]
    first = 0
    for after in range(1, len(joints) + 1):
        if after == len(joints) or joints[after][0] - joints[after - 1][1] > 2 * _AROUND_JOINT:
            yield from _over_joints(text, joints[first:after], look)
            first = after


def _joints(text: str) -> list[re.Match[str]]:
    return [*(_JOINT_IN_LITERAL if '\\"' in text or "\\'" in text else _JOINT).finditer(text)]


def _over_joints(text: str, joints: list[tuple[int, int]], look: Look) -> Iterator[Secret]:
    begin = max(joints[0][0] - _AROUND_JOINT, 0)
    # In `whole`: where each joint was; a secret counts if it spans one, otherwise it was found as it stands.
    parts, cuts, shifts, last = [], [0], [begin], begin
    for start, end in joints:
        parts.append(text[last:start])
        cuts.append(cuts[-1] + start - last)
        shifts.append(end - cuts[-1])
        last = end
    whole = "".join(parts) + text[last : last + _AROUND_JOINT]
    for secret in look(whole):
        start, end = secret.position - 1, secret.position - 1 + secret.length
        opening, closing = bisect_right(cuts, start) - 1, bisect_right(cuts, end - 1) - 1
        if closing > opening:
            at = start + shifts[opening]
            yield secret._replace(position=at + 1, length=end + shifts[closing] - at)


def _encoded(text: str, layers: int, look: Look) -> Iterator[Secret]:
    done = 0
    for word in long_words(text):
        for match in _BASE64.finditer(text, max(word.start(), done), word.end()):
            found = None
            if match.start() >= done and _is_mixed(match[0]):
                run, done = _unwrapped(text, match)
                found = _first(secret for inner in _decoded(run) for secret in find(inner, layers - 1, look))
            if found is not None:  # what it is; where in there is of no use to a reader
                yield Secret(f"{found.kind} in base64", match.start() + 1, done - match.start(), found.example)
                continue
            for digits in _HEX.finditer(match[0]):
                yield from _in_hex(digits, match.start() + 1, layers, look)
    for front, pattern in _ESCAPED:
        for escapes in pattern.finditer(text) if front in text else ():
            yield from _in_hex(escapes, 1, layers, look)
    yield from _in_numbers(text, layers, look)


def _in_numbers(text: str, layers: int, look: Look) -> Iterator[Secret]:
    for match in _NUMBERS.finditer(text):
        first = _FIRST_NUMBER.search(text, max(match.start() - 24, 0), match.start())
        start = first.start() if first else match.start() + 1
        values = [int(number, 0) for number in text[start : match.end()].split(",") if number.strip()]
        secret = _first(find("".join(map(chr, values)), layers - 1, look)) if max(values) < 127 else None
        if secret is not None:
            yield Secret(f"{secret.kind} in numbers", start + 1, match.end() - start, secret.example)


def _in_hex(run: re.Match[str], first: int, layers: int, look: Look) -> Iterator[Secret]:
    digits = run[0].replace("\\x", "").replace("\\u00", "").replace("%", "")
    inner = bytes.fromhex(digits[: len(digits) // 2 * 2])
    if len(inner.translate(None, _TEXT_BYTES)) <= len(inner) // 8:  # one digest in 10 million
        secret = _first(find(inner.decode("latin-1"), layers - 1, look))
        if secret is not None:
            yield Secret(f"{secret.kind} in hex", run.start() + first, len(run[0]), secret.example)


def _first(found: Iterator[Secret]) -> Secret | None:
    """The first that is no example, else the first."""
    example = None
    for secret in found:
        if not secret.example:
            return secret
        example = example or secret
    return example


def _is_mixed(run: str) -> bool:
    """Whether it may be base64 of a text: capitals and small letters, and no digest in hex."""
    return len(run) >= 32 or not (run.islower() or run.isupper())


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
    if _BASE32.fullmatch(run):
        yield base64.b32decode(run[: len(run) // 8 * 8]).decode("latin-1")
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
