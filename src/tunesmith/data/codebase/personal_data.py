"""What of a text belongs to a person: addresses of mail, telephone, card, account and social security numbers, and
addresses of machines on the public net.

A pattern finds what may be one; a rule of its kind decides: a checksum, a range, a reserved name. Nothing here knows a
person's name: a copyright line keeps its author and loses the address behind.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from tunesmith.data.codebase.secret_scan import Finding

EMAIL, PHONE, IP, CARD, IBAN, SSN = (
    "email-address", "phone-number", "ip-address", "card-number", "iban", "social-security-number",
)  # fmt: skip


def find(text: str) -> list[Finding]:
    """The personal data of a text, in order, none over another."""
    searches = (_emails, _phones, _addresses, _cards, _accounts, _socials)
    found = [finding for search in searches for finding in search(text)]
    found.sort(key=lambda finding: (finding.start, -finding.end))
    kept: list[Finding] = []
    for finding in found:
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


# ---- mail ----

# From the @ on, and back from it: that is quick, since few texts have many.
_DOMAIN = re.compile(
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}(?:[A-Za-z]{2}|(?i:com|org|net|edu|gov|mil|int|info|biz|name"
    r"|pro|dev|app|email|cloud|tech|online|site|store|blog|xyz|academy|agency|berlin|codes|club|company|design|digital"
    r"|engineering|expert|foundation|group|guru|health|institute|international|life|live|london|ltd|me|media|mobi|network"
    r"|news|nyc|one|page|paris|science|services|software|solutions|space|studio|systems|team|tokyo|tools|top|university"
    r"|ventures|vip|website|wiki|work|works|world|zone))(?![A-Za-z0-9-]|\.[A-Za-z0-9]|[(\[])"
)
"""Of the longer top domains, those that people have mail at: `a@b.shape` is a product of matrices."""
_LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}\Z")
# RFC 2606 and 6761, and names that people write where an address goes; endings of files and of units.
_NO_DOMAIN = re.compile(
    r"(?i)(?:^|\.)(?:example\.\w+|example|test|invalid|localhost|local|lan|internal|localdomain|domain\.(?:com|org|tld)"
    r"|foo\.(?:com|org)|bar\.(?:com|org)|baz\.com|email\.com|mail\.com|company\.com|host\.com|site\.com|server\.com"
    r"|test\.(?:com|org|net|de)|xyz\.com|x\.(?:com|org|y)|abc\.com|acme\.(?:com|org)|yourdomain\.\w+|mydomain\.\w+"
    r"|somewhere\.\w+|nowhere\.\w+|users\.noreply\.github\.com|gserviceaccount\.com|py|js|ts|jsx|tsx|json|png|svg|jpg|gif"
    r"|css|html|md|txt|rb|go|java|cpp|yml|yaml|sh|so|app|service|target|timer|socket|mount)$"
)
# Mailboxes that several people read or none.
_NO_LOCAL = re.compile(
    r"(?i)(?:git|hg|svn|ssh|noreply|no-reply|donotreply|do-not-reply|user|username|name|foo|bar|baz|test|example|you|your\w*"
    r"|me|someone|somebody|nobody|email|mailto|john|jane|johndoe|janedoe|john\.doe|jane\.doe|alice|bob|a|b|x|xx|user\d|test\d"
    r"|root|admin|npm|latest)"
)


def _emails(text: str) -> Iterator[Finding]:
    if "@" not in text:
        return
    for match in _DOMAIN.finditer(text):
        local = _LOCAL.search(text, max(match.start() - 64, 0), match.start())
        if local is None or _NO_DOMAIN.search(match[0][1:]):
            continue
        start, before = local.start(), text[local.start() - 1 : local.start()]
        if before == "\\" and local[0][0] in "nrt" and len(local[0]) > 1:  # of "\n"
            start += 1
        after = text[match.end() : match.end() + 2]
        is_repository = after[:1] == ":" and (after[1:].isalnum() or after[1:] == "/")
        if (
            not is_repository
            and not _NO_LOCAL.fullmatch(text, start, match.start())
            and not _is_in_url(text, local.start())
        ):
            yield Finding(EMAIL, start, match.end())


def _is_in_url(text: str, start: int) -> bool:
    """Whether what stands there is the user of a URL, not of a mailbox."""
    before = text[max(start - 200, 0) : start]
    return "://" in before[max(map(before.rfind, " \t\n\"'`<>")) + 1 :]


# ---- telephones ----

# With its country's number, in groups: what has neither is a number like any other.
_PHONE = re.compile(
    r"\+(?<![\w+.)\]}][+])(?<![0-9] [+])[1-9]\d{0,2}(?:[ .-]\(?\d{1,5}\)?|\(\d{1,5}\))(?:[ .-]?\d{2,5}){1,4}"
    r"(?![\w.+*/-]*\w)"
)
# Kept for stories: 555-01xx in North America, 7700 900xxx in Britain; and all of 555, which nobody has.
_RESERVED_PHONE = re.compile(r"1\d{3}55501\d\d|44(?:0)?7700900\d{3}|1555\d{7}")


def _phones(text: str) -> Iterator[Finding]:
    if "+" not in text:
        return
    for match in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        is_made_up = len(set(digits)) <= 3 or "123456" in digits or _RESERVED_PHONE.fullmatch(digits)
        if 9 <= len(digits) <= 15 and not is_made_up:
            yield Finding(PHONE, *match.span())


# ---- addresses of machines ----

# From the first dot on, which is quick to find.
_IP = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w.-]|/\d)")
_FIRST = re.compile(r"(?<![\w.-])\d{1,3}\Z")
_VERSION = re.compile(
    r"(?i)(?:version|release|\bv|ver|rev|build|since|python|numpy|[=<>~^!]=|[~^<>]|section|chapter|oid|\brfc|asn|id-|sec\.?)"
    r"[\s\"'=:(v,.]*$"
)
# Services that everybody asks, and numbers that nobody means.
_KNOWN_IPS = frozenset({
    "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "1.2.3.4", "4.3.2.1", "5.6.7.8", "11.22.33.44",
    "12.34.56.78",
})  # fmt: skip


def _addresses(text: str) -> Iterator[Finding]:
    for match in _IP.finditer(text):
        first = _FIRST.search(text, max(match.start() - 4, 0), match.start())
        if first is None:
            continue
        start, shown = first.start(), first[0] + match[0]
        front = text[max(start - 24, 0) : start].rpartition("\n")[2]
        if shown not in _KNOWN_IPS and not _VERSION.search(front) and _is_public(shown):
            yield Finding(IP, start, match.end())


def _is_public(shown: str) -> bool:
    try:
        address = ipaddress.IPv4Address(shown)
    except ValueError:
        return False
    numbers = address.packed
    # Small numbers alone are a version or a section far more often than a machine, and two zeros end a net.
    is_machine = max(numbers) >= _SMALL and not numbers[2] == numbers[3] == 0
    return is_machine and address.is_global and not address.is_multicast


_SMALL = 30
"""Versions and sections have numbers below it."""


# ---- numbers of cards, accounts, people ----

_CARD = re.compile(r"[2-6](?<![\w.+-].)\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\w-]|\.\d)")
_CARD_RANGE = re.compile(
    r"4\d{12}(?:\d{3})?|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|6(?:011|5\d\d)\d{12}|3[68]\d{12}|35\d{14}"
)
# Published by the makers of payment services for tests.
_TEST_CARDS = frozenset({
    "4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444", "5105105105105100",
    "378282246310005", "371449635398431", "6011111111111117", "6011000990139424", "30569309025904", "38520000023237",
    "3530111333300000", "3566002020360505", "4000056655665556", "5200828282828210", "5454545454545454",
    "4000000000000002", "4000000000009995", "4000002500003155",
})  # fmt: skip


def _cards(text: str) -> Iterator[Finding]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        is_made_up = digits in _TEST_CARDS or len(set(digits)) <= 4
        if _CARD_RANGE.fullmatch(digits) and _luhn(digits) and not is_made_up:
            yield Finding(CARD, *match.span())


def _luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


_IBAN = re.compile(r"[A-Z](?<!\w.)[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?")
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GI": 23, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25,
    "RO": 24, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "TR": 26,
}  # fmt: skip
"""Characters of one, by country (the register of ISO 13616)."""
_TEST_IBANS = frozenset({
    "GB82WEST12345698765432", "DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606",
})  # fmt: skip


def _accounts(text: str) -> Iterator[Finding]:
    for match in _IBAN.finditer(text):
        end = match.start()
        for _ in range(_IBAN_LENGTHS.get(match[0][:2], 0)):  # the pattern may have gone on into what follows
            end += 1
            while text[end - 1 : end] == " ":
                end += 1
        solid = text[match.start() : end].replace(" ", "")
        is_whole = match.start() < end <= match.end() and not text[end : end + 1].isalnum()
        if is_whole and solid not in _TEST_IBANS and _is_iban(solid):
            yield Finding(IBAN, match.start(), end)


def _is_iban(solid: str) -> bool:
    return int("".join(str(int(letter, 36)) for letter in solid[4:] + solid[:4])) % 97 == 1


_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_SSN_WORD = re.compile(r"(?i)ssn|social.?sec|tax.?id")
# Of the administration's own pamphlets, and what everybody writes.
_TEST_SSNS = frozenset({"078-05-1120", "219-09-9999", "123-45-6789", "111-11-1111"})


def _socials(text: str) -> Iterator[Finding]:
    """Of that form, and called so nearby: part numbers and telephone numbers have it too."""
    small = text.lower()
    if any(hint in small for hint in ("ssn", "social", "tax")):
        for match in _SSN.finditer(text):
            near = text[max(match.start() - 60, 0) : match.end() + 30]
            if match[0] not in _TEST_SSNS and _SSN_WORD.search(near):
                yield Finding(SSN, *match.span())
