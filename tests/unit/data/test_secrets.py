"""Secrets of each kind are found where they are, also split and encoded; what only looks like one is not.

The values are put together here from parts, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.secrets import Secret, find, redact

_chance = random.Random(7)
HEX = "0123456789abcdef"
ALPHANUMERIC = string.ascii_letters + string.digits


def chance(length: int, alphabet: str = ALPHANUMERIC) -> str:
    return "".join(_chance.choice(alphabet) for _ in range(length))


HEADER = "-----BEGIN RSA " + "PRIVATE KEY-----"
KEY = HEADER + "\nMIIEpAIBAAKCAQEA7bq1s0vW3kq0b8xqJm2cVn4t\nqP0aZ\n" + HEADER.replace("BEGIN", "END")

TOKENS: dict[str, str] = {
    "PuTTY private key": "PuTTY-User-" + "Key-File-2: ssh-rsa",
    "age secret key": "AGE-SECRET-" + "KEY-1" + chance(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
    "AWS access key": "AKIA" + "Q7" + chance(14, string.ascii_uppercase),
    "AWS secret key": "aws_secret_access_key = '" + chance(40) + "'",
    "GitHub token": "ghp_" + chance(36),
    "GitLab token": "glpat-" + chance(20),
    "Google API key": "AIza" + chance(35),
    "Google OAuth secret": "GOCSPX-" + chance(28),
    "Slack token": "xoxb-" + chance(12, string.digits) + "-" + chance(24),
    "Slack webhook": "https://hooks.slack.com/services/" + "T0A1B2C3/B0D1E2F3/" + chance(24),
    "Stripe live key": "sk_live_" + chance(24),
    "Anthropic key": "sk-ant-" + "api03-" + chance(80),
    "OpenAI key": "sk-" + "proj-1aB" + chance(45),
    "Hugging Face token": "hf_" + chance(34),
    "npm token": "npm_" + chance(36),
    "PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + chance(80),
    "SendGrid key": "SG." + chance(22) + "." + chance(43),
    "Twilio key": "SK" + chance(32, HEX),
    "Mailgun key": "key-" + chance(32, HEX),
    "Azure storage key": "AccountKey=" + chance(86) + "==",
    "Azure client secret": "aB3" + "8Q~" + chance(34),
    "DigitalOcean token": "dop_v1_" + chance(64, HEX),
    "Docker token": "dckr_pat_" + chance(27),
    "Databricks token": "dapi" + chance(32, HEX),
    "Shopify token": "shpat_" + chance(32, HEX),
    "Vault token": "hvs." + chance(90),
    "Telegram bot token": chance(9, "123456789") + ":AA" + chance(33),
    "JSON web token": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiI3In0." + chance(43),
    "password in a URL": "postgresql://bob:" + "s3cr3tZZ@db.corp.net/x",
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def only(text: str) -> Secret:
    """The one secret of a text."""
    [secret] = find(text)
    return secret


@pytest.mark.parametrize("kind", TOKENS)
def test_each_kind_is_found_in_code_at_its_place(kind: str) -> None:
    text = f"import os\nvalue = [{TOKENS[kind]}]\n"
    secret = only(text)
    assert (secret.kind, secret.example) == (kind, False)
    start = secret.position - 1
    assert text[start : start + secret.length] in TOKENS[kind]


@pytest.mark.parametrize("kind", TOKENS)
def test_each_kind_is_found_in_base64(kind: str) -> None:
    text = f"value = {encoded('token = ' + TOKENS[kind] + ' # for the tests of the build')}"
    assert f"{kind} in base64" in {secret.kind for secret in find(text)}


@pytest.mark.parametrize("name", ["RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ", ""])
def test_private_keys_of_each_name(name: str) -> None:
    assert only(KEY.replace("RSA ", name)) == ("private key", 1, len(HEADER.replace("RSA ", name)), False)


BODY = "MIIEpAIBAAKCAQEA7bq1"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        KEY.replace("\n", "\r\n"),
        KEY.replace("\n", "\\n"),
        KEY.replace("\n", "\\\\n"),
        KEY.replace("\n", "\n    "),
        "\n".join("+" + line for line in KEY.split("\n")),
        "\n".join(f'    "{line}\\n"' for line in KEY.split("\n")),
        " +\n".join(f"    '{line}\\n'" for line in KEY.split("\n")),
        KEY.replace("\nMII", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,2AE0\n\nMII"),
        '"-----BEGIN RSA " + "PRIVATE KEY-----" + "' + BODY + '"',
        '("-----BEGIN "\n  "RSA PRIVATE KEY-----\\n"\n  "' + BODY + '")',
        '"-----BEGIN RSA PRI" "VATE KEY-----' + BODY + '"',
        "'-----BEG' +\n  'IN PRIVATE KEY-----' +\n  '" + BODY + "'",
        '["-----BEGIN", "RSA", "PRIVATE", "KEY-----", "' + BODY + '"]',
        '{"type": "service_account", "private_key": "-----BEGIN ' + 'PRIVATE KEY-----\\nMIIEvQ..."}',
    ],
)
def test_private_keys_that_are_split_or_escaped(text: str) -> None:
    secret = only(text)
    assert (secret.kind, secret.example) == ("private key", False)
    assert text[secret.position - 1 :].startswith("-----BEG")
    assert text[: secret.position - 1 + secret.length].endswith("KEY-----")


@pytest.mark.parametrize(
    "text",
    [
        encoded(KEY),
        encoded(encoded(KEY)),
        encoded(encoded(encoded(KEY))),
        base64.encodebytes(KEY.encode()).decode(),
        base64.encodebytes(base64.encodebytes(KEY.encode())).decode(),
        base64.encodebytes(KEY.encode()).decode().replace("\n", "\\n"),
        "".join(f'"{line}"\n' for line in base64.encodebytes(KEY.encode()).decode().split()),
        base64.urlsafe_b64encode(("???>>>~~~" + KEY).encode()).decode(),
        encoded("\u043a\u043b\u044e\u0447 " + KEY),
        "data:text/plain;base64," + encoded(KEY),
        "x/" + encoded(KEY),
    ],
)
def test_private_keys_in_base64_wrapped_and_nested(text: str) -> None:
    secret = only(text)
    assert secret.kind.startswith("private key in base64")
    assert not secret.example
    assert secret.length >= 0.9 * len(text.strip()) - 30


@pytest.mark.parametrize("kind", ["AWS access key", "GitHub token", "Stripe live key", "npm token"])
@pytest.mark.parametrize("joint", ['" + "', "' '", '"\n    "', '" \\\n"', '" .\n "'])
def test_tokens_in_joined_literals_are_found_over_the_joint(kind: str, joint: str) -> None:
    token = TOKENS[kind]
    text = f'x = "{token[:9]}{joint}{token[9:]}"'
    secret = only(text)
    assert secret.kind == kind
    assert text[secret.position - 1 : secret.position - 1 + secret.length] == token[:9] + joint + token[9:]


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "IOSFODNN7EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
        "ghp_" + "x" * 36,
        "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
        f"if '{HEADER}' in text:",
        f"{HEADER}\n...\n-----END",
        "postgres://user:password@localhost/db",
        "postgres://postgres:postgres@localhost:5432/test",
        "https://user:pass@example.com",
        "mysql://root:changeme@db/x",
        "https://alice:wonderland@example.com/",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0."
        + "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    ],
)
def test_placeholders_are_told_apart(text: str) -> None:
    assert [secret.example for secret in find(text)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "postgres://{user}:{password}@{host}/db",
        "postgres://$USER:$PASS@host/db",
        "postgres://%s:%s@%s/%s",
        "http://localhost:8080/a@b",
        "https://foo.com:123,foo:bar@bar.com/path",
        "hf_a_function_name_that_is_quite_long_indeed",
        "sk-spinner-circle-wrapper-element-large-class",
        chance(40, HEX),
        "iVBORw0KGgo" + chance(200),
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTAN",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOC",
        encoded("an ordinary text of some length, with nothing in it to hide"),
        "def secret_access_key_of(name): return os.environ[name]",
        '"""A docstring."""\nx = "" + ""',
        "",
    ],
)
def test_what_is_no_secret_is_not_found(text: str) -> None:
    assert list(find(text)) == []


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize(
    "wrap", [str, encoded, lambda text: f"'{text[:7]}' + '{text[7:]}'"], ids=["plain", "base64", "joined"]
)
def test_redacting_leaves_nothing_to_find(kind: str, wrap: Callable[[str], str]) -> None:
    assert [secret for secret in find(redact(f"a {wrap(TOKENS[kind])} b")) if not secret.example] == []


@given(st.text())
def test_any_text_can_be_looked_at_and_places_lie_in_it(text: str) -> None:
    for secret in find(text):
        assert 1 <= secret.position <= secret.position - 1 + secret.length <= len(text)


@given(before=st.text(string.ascii_lowercase + " \n=.", max_size=80), after=st.text(" \n;,)", max_size=20))
def test_surroundings_do_not_hide_a_token(before: str, after: str) -> None:
    token = TOKENS["GitHub token"]
    assert ("GitHub token", len(before) + 2, len(token), False) in list(find(f"{before} {token}{after}"))
