"""Secrets that a name gives away: `password = "..."`, an environment's line, a command's option, a URL's user.

In: a text. Out: the values, with their places. A password is what somebody could have made up and would not write to
show where one goes; any other secret is what a machine made, and its value shows that: the kinds of its characters
change about as often as chance has it. Digests and UUIDs are values of a machine as well, and count only where a
name says that they are secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunesmith.data.secrets import Secret

PASSWORD, SECRET_VALUE, IN_URL, AWS_SECRET = "password", "secret value", "password in a URL", "AWS secret key"
"""The kinds."""


def find(text: str) -> Iterator[Secret]:
    """The named secrets of a text, as they stand."""
    yield from _named(text)
    yield from _in_urls(text)
    yield from _in_pairs(text)


def is_placeholder(value: str) -> bool:
    """Whether a value only shows where one goes: documentation's words, a template, a reference."""
    return _is_weak(value) or _is_template(value)


def is_random(value: str, is_strong: bool = True) -> bool:
    """Whether a machine made it: letters and digits that change about as chance has it.

    is_strong  a name or a prefix says that it is secret, so that a UUID is one
    """
    if not 12 <= len(value) <= _MAX_VALUE or not _TOKEN.fullmatch(value):
        return False
    if _UUID.fullmatch(value):
        return is_strong
    if _DIGEST.match(value):
        return False
    solid = sum(map(str.isalnum, value))
    if len(set(value)) < 7 or solid < 12:
        return False
    # A long word with several digits in it is no name, however they lie.
    is_no_name = len(value) >= _LONG_NAME and value.isalnum() and sum(map(str.isdigit, value)) >= 2
    return is_no_name or bool(_ALL_HEX.fullmatch(value)) or solid <= _LONGEST_RUN * _runs(value)


def line_before(text: str, at: int, most: int) -> str:
    """What stands on the same line before a place, not more than so many characters of it."""
    return text[max(at - most, 0) : at].rpartition("\n")[2]


_STEMS = ("pass", "pwd", "secret", "token", "key", "credential", "auth", "contrase", "bearer", "salt", "psk", "_pw")
_AFTER = re.compile(
    r"[\w.\-]{0,40}+"  # the rest of the name
    r"(?:\\?[\"'`]|\]|\)|[ \t]|\[\d{0,4}\])*+"
    r"(?::[ \t]*[\w.\[\]|*&]{1,40}[ \t]*(?==))?"  # a type
    r"(?P<sign>:=|=>|->|={1,3}|!==?|:|,|\(|>|\bis\b|\bBY\b|value=)?[ \t]*(?:\r?\n[ \t]*)?"
    r"(?:[\w.$()\[\]\"']{1,60}\s*(?:\|\||\?\?|\?:|\bor\b)\s*)?"  # of two values, the second
    r"(?P<call>(?:new )?[\w.:<>&*!?\[\]]{1,40}\(\s*(?=[rRbBuUfFL@$]{0,2}\\?[\"'`]))?"
    r"(?:[(\[{@$]\s*(?=[rRbBuUfFL@$]{0,2}\\?[\"'`]))?(?:[rRbBuUfFL@$]{1,2}(?=[\"'`]))?"
    r"(?:(?P<quote>\\{0,3}[\"'`]{1,3})(?P<value>[^\r\n]*?)(?P=quote)"
    r"|(?=(?P<line>[^\s\"'`]{11,200}[^\s\"'`,;\]}](?=\s|$))?)"
    r"(?P<bare>[^\s\"'`,;(){}\[\]<>\\]{6,200}(?=[\s\"'`,;)\\<]|$))?)",
    re.IGNORECASE,
)
_NAME_START = re.compile(r"[A-Za-z0-9_.$@-]{0,60}\Z")
_MAX_VALUE = 500

# Of a password: people make them up. Of the others: machines do, and the values show it.
_PASSWORD_NAME = re.compile(
    r"pass(?:w(?:or)?d|phrase|wrd|code|key)|contrase"
    r"|(?:^|[_.\- ]|db|user|root|admin|my|sql|smtp|ftp|ssh|key|store|login|ldap|mail)(?:pass|pwd|pw|psk)(?:$|\d)"
)
_SECRET_NAME = re.compile(
    r"secret|token|credential|bearer|salt|(?:^|[_.-])auth(?:[_.-]?(?:key|code|str|header|orization|value|data))?$"
    r"|(?:api|app|auth|access|account|admin|service|db|database|priv|private|client|consumer|crypt|crypto"
    r"|encryption|decryption|enc|aes|des|hmac|jwt|license|licence|master|root|server|session|shared|sign|signing"
    r"|signature|sdk|ssh|rsa|storage|subscription|stream|user|web|webhook|write|read|secure|security|deploy"
    r"|integration|ingest|partner|provider|bot|function|functions|host|merchant|payment|vault|wallet|transit"
    r"|fernet|cipher|backup|connection|primary|secondary|cosmos|maps|search|_api)[_.\-]?keys?(?:$|[_\d])"
)
_STRONG_NAME = re.compile(
    r"secret|(?:api|app|access|auth|account|service|private|subscription|licen[sc]e|encryption|master)[_.-]?key"
    r"|(?:access|auth|bearer|api|refresh|bot|oauth|user|personal)[_.-]?token|heroku|credential"
)
_NO_SECRET_NAME = re.compile(
    r"hash|digest|checksum|sha\d|md5|fingerprint|etag|revision|commit|uuid|guid|integrity|public|pub_?key|(?:token"
    r"|key|secret)_?(?:name|type|id|ids|file|path|url|uri|endpoint|count|length|len|size|limit|regex|pattern|field"
    r"|label|header|index|class|prefix|suffix|version|format|arn|ref|title|text|message|hint|prompt|error|schema"
    r"|column|map|order|word)s?$|pass(?:word|wd|phrase)?_?(?:name|file|path|url|uri|length|len|regex|pattern|field"
    r"|label|hint|prompt|error|message|policy|reset|input|form|help|text|strength|column|type|min|max)s?$|tokenize"
    r"|passive|passed|passing|bypass|compass|keyboard|keyword|split|surrogate|author(?!iz)|primary_?key_"
    r"|foreign_?key|sort_?key|cache_?key|partition_?key"
)


def _named(text: str) -> Iterator[Secret]:
    lower = text.lower()
    if len(lower) != len(text):  # some letter has two small ones
        lower = _NOT_ASCII.sub("?", text).lower()
    done = -1
    for at in _stems_at(lower):
        if at < done:
            continue
        word = _WORD.match(text, at)
        assert word is not None  # it matches nothing as well
        done = word.end()
        match = _AFTER.match(text, at, at + _MAX_VALUE)
        if match is None or (match["sign"] is None and not _is_option(text, at)):
            continue
        start_of_name = _NAME_START.search(text, at - len(line_before(text, at, 60)), at)
        assert start_of_name is not None  # it matches nothing as well
        name = _snake(text[start_of_name.start() : word.end()])
        for group in ("value",) if match["quote"] else ("line", "bare"):
            kind = match[group] and _kind_of(name, match, group, start_of_name.start())
            if kind:
                done = match.end(group)
                yield _secret(kind, *match.span(group))
                break


_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_WORD = re.compile(r"[\w.\-]{0,60}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).strip("-_.$@").lower()


def _stems_at(lower: str) -> list[int]:
    places = []
    for stem in _STEMS:
        at = lower.find(stem)
        while at >= 0:
            places.append(at)
            at = lower.find(stem, at + len(stem))
    return sorted(places)


def _is_option(text: str, at: int) -> bool:
    """Whether a name is a command's option or a macro, whose value needs no sign: --password hunter2."""
    before = line_before(text, at, 40)
    return "--" in before or "#define" in before


_LINK = re.compile(r"https?://[^:@]*")


def _kind_of(name: str, match: re.Match[str], group: str, start: int) -> str:
    """What a named value is, by the name's start; empty if no secret."""
    value, bare = match[group], group != "value"
    if not 4 <= len(value) <= _MAX_VALUE or _NO_SECRET_NAME.search(name):
        return ""
    if _is_template(value) or _LINK.fullmatch(value) or value.lower() == name:
        return ""
    if bare and value.endswith(")") and "(" not in value:  # the call's that it is an argument of
        return ""
    if (bare and not _may_be_bare(match, group, start)) or (group == "line" and not is_random(value, True)):
        return ""
    if _PASSWORD_NAME.search(name):
        return PASSWORD if _is_password(value, bool(match["call"]) or match["sign"] in (",", "(", ">")) else ""
    if _SECRET_NAME.search(name) and is_random(value, bool(_STRONG_NAME.search(name))):
        # What follows a comma is often the next name of a list.
        is_next = match["sign"] in (",", "(") and not _ALL_HEX.fullmatch(value)
        return SECRET_VALUE if not is_next or len(value) <= _LONGEST_RUN_IN_LIST * _runs(value) else ""
    return ""


def _may_be_bare(match: re.Match[str], group: str, start: int) -> bool:
    """Whether a value without quotes may be one: in a comment, a shell's assignment, a settings' line or string."""
    text, value, sign = match.string, match[group], match["sign"]
    line = line_before(text, start, 300)
    if (group == "bare" and _REFERENCE.search(value)) or "\n" in text[start : match.start(group)]:
        return False
    if sign in ("=", ":", "is", None, ">") and _COMMENT.search(line):
        return any(map(str.isdigit, value))
    if sign == "=":
        # NAME=value without blanks, at the front of a line or within a string: no language formats code so.
        near = text[match.start(group) - 1] == "="
        return near and (not line.strip() or _SETTING.search(line) is not None)
    if sign == ":":
        return (
            not line.strip() and text[match.end(group) : match.end(group) + 1] in ("\n", "\r", "") and _runs(value) >= 4
        )
    return sign in (">", None, "BY")


_COMMENT = re.compile(r"(?:^|\s)(?:#|//|\*|--|;|/\*|<!--|%|\"\"\"|''')")
_SETTING = re.compile(
    r"(?:^\s*|[;\"'`?&\s])(?:export|ENV|set|SET|env|-e|declare|readonly|local)?\s*$|[;\"'`?&]\s?[\w .-]*$"
)
_REFERENCE = re.compile(
    r"^[$%@&*~]|^[a-z_]+(?:\.[a-z_A-Z]+)+$|::|^\.|^/|^self\b|^this\b|=$(?<!==)|^[A-Z_]+$|^\d[\d.]*$"
)


def _is_password(value: str, is_doubtful: bool) -> bool:
    """Whether somebody could have made it up as a password, and not to show where one goes."""
    if len(value) < 6 or len(value) > 200 or (_is_weak(value) and (is_doubtful or value.isalpha())):
        return False
    if " " in value.strip():
        return not is_doubtful and len(value) < 80 and _is_phrase(value)
    letters = sum(map(str.isalpha, value))
    digits = sum(map(str.isdigit, value))
    symbols = len(value) - letters - digits - value.count("_") - value.count("-") - value.count(".")
    if not letters:
        return digits >= 6 and not is_doubtful
    if is_doubtful and (":" in value or len(value) < 8 or _SNAKE.fullmatch(value)):
        return False
    if digits or symbols > 0:
        return not _NAME_LIKE.match(value)
    return (
        not is_doubtful
        and len(value) >= 8
        and (value.isalpha() or is_random(value, False))
        and not _ORDINARY.search(value)
    )


# Words and their signs, escapes, calls, places of files and machines.
_NAME_LIKE = re.compile(
    r"(?i)\s|-[a-z]|.*\\[xuU0abfnrtv]|[a-z]+(?:[_\-. :/][a-z]+)+\d?:?$|[a-z]+[:?*!.]+$|[\w-]+\(|[<\[{]|.*[)\]}>]$"
    r"|[\w./-]+/[\w./-]+$|[\w.-]+:\d{2,5}$|.*\s$"
)
_SNAKE = re.compile(r"[A-Za-z]+\d{0,4}(?:_[A-Za-z]+\d{0,4})+")
_ORDINARY = re.compile(
    r"(?i)pass|secret|incorrect|wrong|exist|token|key|word|user|name|admin|test|default|value|auth|login|cred"
    r"|field|input|text|string|null|none|true|false|hidden|valid|requir|optional|empty|current|confirm|forgot"
    r"|reset|change|update|create|error|generat|random"
)


def _is_phrase(value: str) -> bool:
    """Three or more words and nothing that a sentence has."""
    words = value.split(" ")
    return (
        3 <= len(words) <= 12
        and all(word.isalnum() and word.islower() for word in words)
        and not _SENTENCE.search(value)
    )


_SENTENCE = re.compile(
    r"\b(?:the|a|an|is|are|for|to|of|your|you|not|must|be|enter|and|or|with|in|on|this|it|no|invalid|please)\b"
)


def _is_weak(value: str) -> bool:
    """What documentation and tests write where a password goes."""
    return bool(_WEAK.match(value))


_WEAK = re.compile(
    r"(?i)[#!@]?(?:(?:my|your|the|new|old|some|a|an|user|db|test|secret|super|bad|wrong|good|invalid|valid|fake"
    r"|any|default|root|admin)?[-_ ]?(?:pass(?:w(?:or)?d|phrase)?|secret|pwd|pw|token|key|test|testing|admin|root"
    r"|guest|user|foo|bar|baz|foobar|abc|none|null|demo|sample|value|string|hunter|letmein|welcome|hello|thing"
    r"|public|postgres|mysql|redis|rabbitmq|mongo|sa|me)[-_ ]?(?:\d{0,4}|123456|here|x+)[!#]?|\d{1,5}|1234567890?"
    r"|123456789|qwerty\d{0,3}|\*+|\.+|%.*|x+|-+|_+|abc123|asdf\w{0,4}|s3cret|p4ss\w{0,4})$"
)


def _is_template(value: str) -> bool:
    if _PLACEHOLDER.search(value) or len(set(value)) <= 3 or value.endswith("..."):
        return True
    if _PATH.fullmatch(value):
        return not is_random(value, True)
    # A long random value has a mark of a template now and then.
    return bool(_TEMPLATE.search(value)) and not (len(value) >= 30 and is_random(_TEMPLATE.sub("", value), True))


_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|change[-_ ]?(?:me|it|this)|your[-_ ]|(?<![a-z])your|(?-i:xxxx|XXXX)|dummy|redacted"
    r"|sample|lorem|not-?a-?real|(?<![a-z])(?:fake|mock|stub)|insert[-_ ]|<[\w .-]+>|1234567890abcdef|abcdefghijk"
    r"|0123456789abcdef|os\.environ|getenv|process\.env|^env:|^vault:|^arn:aws:|^todo"
    r"|replace[-_ ]|_here$|-here$|^[\w-]+\.(?:pem|key|json|txt|ya?ml|py|crt)$"
    r"|^192\.0\.2\.\d+$|^\+1 202 555 01\d\d$"
)
_PATH = re.compile(r"(?:/|\./|~/)[\w./-]+")
_TEMPLATE = re.compile(r"\$\{|\{\{|\$\(|#\{|%\(|%[sd@]|\{[^{}]*\}|\*\*\*|\.\.\.|^\$")


_TOKEN = re.compile(r"[A-Za-z0-9_+/=.:~@!#$%^&*()?|,;<>\[\]{}-]+")
_UUID = re.compile(r"(?i)\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\}?")
_DIGEST = re.compile(r"(?i)(?:sha\d{1,3}|md5|h1|sri|blake\w+)[-:=$]|urn:")
_ALL_HEX = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}")
_RUN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LONGEST_RUN = 3.4
"""Characters, in the mean, of one kind in a row. Random ones have 1.6 (base64) to 2.5 (small letters and digits), names
in code 4 to 5."""


_LONG_NAME = 24
_LONGEST_RUN_IN_LIST = 2.8


def _runs(value: str) -> int:
    """How many stretches of one kind of character it has; a word with its capital is one."""
    return len(_RUN.findall(value))


# From the :// on. The user may be missing, as Redis has it; up to the last @ before a blank or a quote.
_URL = re.compile(r"://([^\s:/@'\"`<>(){},]{0,100}):(?!\d{1,5}[,/])([^\s'\"`<>,]{4,300}?)@(?=[\w.\[{$%-])")
_TOKEN_URL = re.compile(r"://([A-Za-z0-9_-]{20,100})@(?=[\w.-])")


def _in_urls(text: str) -> Iterator[Secret]:
    if "://" not in text:
        return
    for match in _URL.finditer(text):
        user, value = match.groups()
        if ("/" in value and "://" in value) or "?" in value:
            continue
        if value == user or _is_weak(value) or _is_template(value):
            continue
        yield _secret(IN_URL, *match.span(2))
    for match in _TOKEN_URL.finditer(text):
        if is_random(match[1], False):
            yield _secret(IN_URL, *match.span(1))


_AWS_KEY = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}")
_FORTY = re.compile(r"(?<![A-Za-z0-9/+_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])")
_NEAR_CHARACTERS = 1000
_PAIRS = (
    ("machine ", re.compile(r"login\s+\S+\s+password\s+([^\s\"'\\]{4,})")),
    ("curl", re.compile(r"-(?:u|-user)[\s=\"',]{1,6}[\w.@+-]+:([^\s\"'`$]{4,})")),
    ("auth=", re.compile(r"auth=\(?\s*[\"'][^\"'\n]{1,80}[\"']\s*,\s*[\"']([^\"'\n]{4,200})[\"']\s*\)")),
    ("auth = (", re.compile(r"auth = \(\s*[\"'][^\"'\n]{1,80}[\"']\s*,\s*[\"']([^\"'\n]{4,200})[\"']\s*\)")),
    ("Auth(", re.compile(r"Auth\(\s*[\"'][^\"'\n]{1,80}[\"']\s*,\s*[\"']([^\"'\n]{4,200})[\"']\s*\)")),
    ("IDENTIFIED", re.compile(r"IDENTIFIED\s+(?:WITH\s+\w+\s+)?BY\s+'([^'\n]{4,200})'")),
    ("PASSWORD", re.compile(r"PASSWORD\s+'([^'\n]{4,200})'")),
    ("_authToken", re.compile(r"_authToken\s*=\s*([\w-]{20,})")),
    ("mysql", re.compile(r"mysql\w*\s(?:[^\n]{0,100}\s)?-p([^\s\"'`$]{4,})")),
    ("sshpass", re.compile(r"sshpass\s+-p\s*[\"']?([^\s\"'`$]{4,})")),
    (" login ", re.compile(r" login\s(?:[^\n]{0,100}\s)?(?:-p|--password)[ =][\"']?([^\s\"'`$]{4,})")),
    (".login(", re.compile(r"\.login\(\s*[\"'][^\"'\n]{1,80}[\"']\s*,\s*[\"']([^\"'\n]{6,200})[\"']\s*\)")),
    (
        "default=",
        re.compile(
            r"--[\w-]{0,30}(?:passw|secret|token|key)[\w-]{0,20}[\"'][^\n]{0,120}default=\s*[\"']([^\"'\n]{6,200})[\"']"
        ),
    ),
    ('asic "', re.compile(r"[Bb]asic\s*[\"'`]\s*[+.,]\s*[\"'`]([A-Za-z0-9+/]{12,}={0,2})")),
    ('earer "', re.compile(r"[Bb]earer\s*[\"'`]\s*[+.,]\s*[\"'`]([A-Za-z0-9+/._~-]{16,}={0,2})")),
    ("ssword>", re.compile(r"ssword>([^<\s]{4,200})</")),
)


def _in_pairs(text: str) -> Iterator[Secret]:
    """Secrets that what stands beside them gives away."""
    if "AKIA" in text or "ASIA" in text:
        done = 0
        for key in _AWS_KEY.finditer(text):
            first, done = max(key.start() - _NEAR_CHARACTERS, done), key.end() + _NEAR_CHARACTERS
            for match in _FORTY.finditer(text, first, done):
                if not re.fullmatch(r"[0-9a-f]{40}|[0-9A-F]{40}", match[0]) and _runs(match[0]) >= 12:
                    yield _secret(AWS_SECRET, *match.span())
    for hint, pattern in _PAIRS:
        if hint in text:
            for match in pattern.finditer(text):
                if not _is_weak(match[1]) and not _is_template(match[1]) and not match[1].isalpha():
                    yield _secret(PASSWORD, *match.span(1))


def _secret(kind: str, start: int, end: int) -> Secret:
    return Secret(kind, start + 1, end - start, False)
