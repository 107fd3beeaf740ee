"""Personal data is found by its checksums and ranges; what only looks like it is left.

Numbers are put together here, so that none of a person stands in this file.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.personal_data import find

_chance = random.Random(11)
AT = "@"


def digits(length: int) -> str:
    return "".join(_chance.choice("0123456789") for _ in range(length))


def luhn(front: str) -> str:
    """A card's number: with the last digit that makes the sum right."""
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(front)))
    return front + str(-total % 10)


def iban(country: str, account: str) -> str:
    number = int("".join(str(int(letter, 36)) for letter in account + country + "00"))
    return f"{country}{98 - number % 97:02d}{account}"


MAIL = "jane.roe" + AT + "posteo.net"
CARD = luhn("4539" + digits(11))
ACCOUNT = iban("DE", digits(18))
PHONE = "+49 30 9018 2735"
SOCIAL = "536-22-" + "8726"
ADDRESS = "81.169.145.64"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("email-address", f"# Copyright (c) 2020 Jane Roe <{MAIL}>", MAIL),
        ("email-address", f"__author__ = 'Jane Roe ({MAIL})'", MAIL),
        ("email-address", f'"line\\n{MAIL}"', MAIL),
        ("email-address", f"mailto:{MAIL}", MAIL),
        ("phone-number", f'PHONE = "{PHONE}"', PHONE),
        ("phone-number", "call +1 (202) 867-1843 now", "+1 (202) 867-1843"),
        ("card-number", f"card = {CARD}", CARD),
        ("card-number", f'"{CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}"', None),
        ("card-number", f"amex = '{luhn('37' + digits(12))}'", None),
        ("iban", f'account = "{ACCOUNT}"', ACCOUNT),
        ("iban", "pay to " + " ".join(ACCOUNT[i : i + 4] for i in range(0, 22, 4)) + " please", None),
        ("ip-address", f'HOST = "{ADDRESS}"', ADDRESS),
        ("ip-address", f"http://{ADDRESS}:8080/x", ADDRESS),
        ("social-security-number", f'ssn = "{SOCIAL}"', SOCIAL),
    ],
)  # fmt: skip
def test_each_kind_is_found_at_its_place(kind: str, text: str, value: str | None) -> None:
    [finding] = find(text)
    assert finding.kind == kind
    assert value is None or text[finding.start : finding.end] == value


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com", "a@example.org", "x@test", "joe@host.invalid", "noreply@github.com",
        "git@github.com:acme/x.git", "ssh://git@gitlab.com/acme/x", "https://bob:pw@host.acme.io/x",
        "@decorator.method(1)", "@app.route('/')", "import x from '@scope/package.js'", "npm i react@latest.js",
        "icon@2x.png", "user@service.target", "a @ b.T", "x = y@z.shape", "root@localhost",
        "deploy@prod.acme.io:/srv/www", "logo@3x.svg", "foo@bar.com",
        "+1 202 555 0100", "+15551234567", "x = a +1 2", "1e+10 20 30", "+123456789", "'+12 34'",
        "4111111111111111", "4242 4242 4242 4242", "0x4539148803436467", "3.4539148803436467", "4539148803436468",
        "x4539148803436467", "DE89370400440532013000", "DE00123456789012345678", "AB12 CDEF 1234 5678",
        "127.0.0.1", "10.1.2.3", "192.168.44.55", "192.0.2.44", "198.51.100.77", "203.0.113.99", "8.8.8.8", "0.0.0.0",
        "224.0.0.251", "version = '81.169.145.64'", "numpy>=81.169.145.64", "v81.169.145.64", "1.2.3.4", "2.7.0.9",
        "81.169.145.64.5", "81.169.145.0/24", "300.1.2.99", "81.169.145.64-rc1", "255.255.255.0",
        "ssn = '123-45-6789'", "ssn = '000-12-3456'", f"part = '{SOCIAL}'", f"ssn_part = 'X-{SOCIAL}-1'",
        "",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert find(text) == []


def test_a_name_in_a_licence_header_stays() -> None:
    text = f"# Copyright (c) 2020 Jane Roe <{MAIL}>"
    [finding] = find(text)
    assert text[: finding.start].endswith("Jane Roe <")
    assert text[finding.end :] == ">"


def test_of_random_numbers_few_are_cards_and_none_without_its_checksum() -> None:
    wrong = [CARD[:-1] + str((int(CARD[-1]) + step) % 10) for step in range(1, 10)]
    assert [number for number in wrong if find(number)] == []


@pytest.mark.parametrize("number", [luhn("4539" + digits(11)) for _ in range(20)])
def test_a_card_inside_a_longer_number_is_none(number: str) -> None:
    assert find(f"1{number}") == find(f"{number}1234567") == find(f"0.{number}") == find(f"a{number}") == []


@given(st.text() | st.text(alphabet="a.b@1+ -4DE89\n\\"))
def test_of_any_text_the_finds_lie_in_it_in_order_and_apart(text: str) -> None:
    last = 0
    for finding in find(text):
        assert last <= finding.start < finding.end <= len(text)
        last = finding.end


@pytest.mark.parametrize(
    "text", ["a@b.co " * 30_000, "@" * 200_000, "1.1.1." * 30_000, "4444 " * 40_000, "+1 2 3 4 " * 20_000]
)
def test_texts_that_are_made_to_take_long_end(text: str) -> None:
    assert len(find(text)) <= len(text)
