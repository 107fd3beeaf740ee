"""A made-up repository's secrets: of some fifty kinds, in five languages, plain, split, encoded, wrapped, in notebooks.

Everything is drawn from a seed when it is asked for, and put together from parts: no line of this file looks like a
secret to a scanner. `planted` gives the files; `traces` of each are texts that must not be in any output.
"""

from __future__ import annotations

import base64
import json
import random
import string
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HEX = "0123456789abcdef"
LETTERS = string.ascii_letters
ALPHANUMERIC = LETTERS + string.digits
CAPITALS = string.ascii_uppercase + string.digits
URL_SAFE = ALPHANUMERIC + "-_"
BASE64 = ALPHANUMERIC + "+/"


@dataclass(frozen=True)
class Planted:
    """One secret in one file."""

    kind: str
    secret: str
    source_text: str
    file_name: str
    form: str
    traces: tuple[str, ...]
    """What of the secret must nowhere be left: itself, its parts, its encodings."""


class Chance:
    """Draws of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, length: int, alphabet: str = ALPHANUMERIC) -> str:
        """As long as asked for; with a digit where the alphabet has some, as nearly every real one has."""
        while True:
            drawn = "".join(self._random.choice(alphabet) for _ in range(length))
            if length < 8 or not set(string.digits) & set(alphabet) or set(string.digits) & set(drawn):
                return drawn

    def among(self, choices: list[str]) -> str:
        return self._random.choice(choices)

    def below(self, end: int) -> int:
        return self._random.randrange(end)


def tokens(chance: Chance) -> dict[str, tuple[str, str]]:
    """Kind -> the name that a program would give it, and the secret; all of them are one line."""
    of = chance.of
    uuid = "-".join(of(n, HEX) for n in (8, 4, 4, 4, 12))
    return {
        "aws-access-key": ("aws_access_key_id", "AK" + "IA" + of(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
        "aws-secret-key": ("aws_secret_access_key", of(40, BASE64)),
        "google-api-key": ("maps_key", "AI" + "za" + of(35, URL_SAFE)),
        "google-oauth-secret": ("client", "GOC" + "SPX-" + of(28, URL_SAFE)),
        "azure-storage": (
            "connection",
            "DefaultEndpointsProtocol=https;AccountName=acme;Account" + "Key=" + of(86, BASE64) + "==;EndpointSuffix=x",
        ),
        "azure-client-secret": ("azure_secret", of(3) + "8Q" + "~" + of(34)),
        "azure-shared-access": (
            "blob_url",
            "https://acme.blob.core.windows.net/c?sv=2022-11-02&sp=r&si" + "g=" + of(43, ALPHANUMERIC) + "%3D",
        ),
        "github-token": ("token", "gh" + "p_" + of(36)),
        "github-fine-grained": ("GITHUB", "github" + "_pat_" + of(22) + "_" + of(59)),
        "gitlab-token": ("gitlab", "gl" + "pat-" + of(20, URL_SAFE[:-2])),
        "npm-token": ("npm", "np" + "m_" + of(36)),
        "pypi-token": ("pypi", "pyp" + "i-AgEIcHlwaS5vcmc" + of(100, URL_SAFE)),
        "docker-token": ("docker", "dckr" + "_pat_" + of(27, URL_SAFE[:-2])),
        "hugging-face-token": ("hub", "h" + "f_" + of(34, LETTERS)),
        "openai-key": ("client_key", "sk-" + "proj-" + of(20) + "T3Blbk" + "FJ" + of(20)),
        "anthropic-key": ("claude", "sk-" + "ant-api03-" + of(93, URL_SAFE) + "AA"),
        "slack-token": ("slack", "xox" + "b-" + of(12, string.digits) + "-" + of(12, string.digits) + "-" + of(24)),
        "slack-webhook": (
            "hook",
            "https://hooks." + "slack.com/services/T" + of(8, CAPITALS) + "/B" + of(8, CAPITALS) + "/" + of(24),
        ),
        "discord-token": ("bot", "M" + of(23) + "." + of(6) + "." + of(38)),
        "discord-webhook": ("hook", "https://discord.com/api/" + "webhooks/" + of(18, string.digits) + "/" + of(68)),
        "telegram-token": ("bot", of(10, "123456789") + ":AA" + of(33, URL_SAFE)),
        "twilio-key": ("sid", "S" + "K" + of(32, HEX)),
        "twilio-auth-token": ("twilio_auth_token", of(32, HEX)),
        "sendgrid-key": ("mail", "S" + "G." + of(22) + "." + of(43)),
        "mailgun-key": ("mail", "ke" + "y-" + of(32, HEX)),
        "mailchimp-key": ("mail", of(32, HEX) + "-us" + "12"),
        "stripe-key": ("stripe", "sk_" + "live_" + of(24)),
        "stripe-test-key": ("stripe", "sk_" + "test_" + of(24)),
        "square-token": ("square", "sq0" + "csp-" + of(43)),
        "shopify-token": ("shop", "shp" + "at_" + of(32, HEX)),
        "databricks-token": ("bricks", "dap" + "i" + of(32, HEX)),
        "digitalocean-token": ("ocean", "dop" + "_v1_" + of(64, HEX)),
        "heroku-key": ("heroku_api_key", uuid),
        "vault-token": ("vault", "hv" + "s." + of(90)),
        "json-web-token": (
            "jwt",
            "ey" + "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.ey" + "JzdWIi" + of(60) + "." + of(43, URL_SAFE),
        ),
        "datadog-key": ("datadog_api_key", of(32, HEX)),
        "plain-api-key": ("api_key", of(32)),
        "session-secret": ("SECRET_KEY", of(50, ALPHANUMERIC + "!@#%^&*(-_+)")),
        "password": ("password", of(6, LETTERS) + "7!" + of(6)),
        "database-url": ("dsn", "postgresql://app:" + of(16) + "@db.internal:5432/app"),
        "mongodb-url": ("uri", "mongodb+srv://root:" + of(18) + "@cluster0.acme.mongodb.net/x"),
        "redis-url": ("uri", "redis://:" + of(20) + "@cache.internal:6379/0"),
        "basic-header": ("header", "Basic " + _base64("deploy:" + of(18))),
        "bearer-header": ("header", "Bearer " + of(40)),
        "linear-key": ("linear", "lin" + "_api_" + of(40)),
        "figma-token": ("figma", "fig" + "d_" + of(40, URL_SAFE[:-2])),
        "grafana-token": ("grafana", "gl" + "sa_" + of(32) + "_" + of(8, HEX)),
        "groq-key": ("groq", "gs" + "k_" + of(52)),
        "replicate-token": ("replicate", "r8" + "_" + of(37)),
        "doppler-token": ("doppler", "dp." + "pt." + of(43)),
        "postman-key": ("postman", "PM" + "AK-" + of(24, HEX) + "-" + of(34, HEX)),
        "age-key": ("age", "AGE-SECRET" + "-KEY-1" + of(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
    }


def keys(chance: Chance) -> dict[str, str]:
    """Kind -> a key of several lines."""

    def pem(name: str, front: str, lines: int) -> str:
        body = [front + chance.of(64 - len(front), BASE64)]
        body += [chance.of(64, BASE64) for _ in range(lines)] + [chance.of(30, BASE64) + "=="]
        return "\n".join([_edge("BEGIN", name), *body, _edge("END", name)])

    pgp = ["", *(chance.of(64, BASE64) for _ in range(12)), "=" + chance.of(4)]
    putty = ["PuTTY-User-" + "Key-File-3: ssh-ed25519", "Encryption: none", "Comment: deploy", "Public-Lines: 2"]
    putty += [chance.of(64, BASE64), chance.of(40, BASE64), "Private-Lines: 1", chance.of(48, BASE64)]
    putty += ["Private-MAC: " + chance.of(64, HEX)]
    return {
        "rsa-key": pem("RSA " + "PRIVATE KEY", "MIIEowIBAAKCAQEA", 23),
        "pkcs8-key": pem("PRIVATE " + "KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", 23),
        "ec-key": pem("EC " + "PRIVATE KEY", "MHcCAQEEI", 1),
        "openssh-key": pem("OPENSSH " + "PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU", 5),
        "encrypted-key": pem("ENCRYPTED " + "PRIVATE KEY", "MIIFHDBOBgkqhkiG9w0BBQ0w", 20),
        "pgp-key": "\n".join(
            [_edge("BEGIN", "PGP " + "PRIVATE KEY BLOCK"), *pgp, _edge("END", "PGP " + "PRIVATE KEY BLOCK")]
        ),
        "putty-key": "\n".join(putty),
    }


def _edge(word: str, name: str) -> str:
    return f"{'-' * 5}{word} {name}{'-' * 5}"


def planted(seed: int = 7) -> list[Planted]:
    """Each kind in each of its forms, every one in a file of its own that is code but for it."""
    chance = Chance(seed)
    made = list(_planted(chance))
    return [
        Planted(kind, secret, text, f"planted/{number:04d}_{form.replace(' ', '_')}{ending}", form, traces)
        for number, (kind, secret, text, ending, form, traces) in enumerate(made)
    ]


def _planted(chance: Chance) -> Iterator[tuple[str, str, str, str, str, tuple[str, ...]]]:
    for kind in tokens(chance):
        for form, write in FORMS.items():
            name, secret = tokens(chance)[kind]
            text, ending, traces = write(chance, name, secret)
            yield kind, secret, text, ending, form, (_core(secret), *traces)
    for kind in keys(chance):
        for form, write_key in KEY_FORMS.items():
            secret = keys(chance)[kind]
            text, ending, traces = write_key(chance, secret)
            yield kind, secret, text, ending, form, (*_lines(secret), *traces)


def _core(secret: str) -> str:
    """The part that is secret."""
    for front, end in (("://", "@"), ("AccountKey=", "=="), ("sig=", "%3D"), ("Basic ", ""), ("Bearer ", "")):
        if front in secret:
            inner = secret.partition(front)[2]
            inner = inner.partition(end)[0] if end else inner
            return inner.partition(":")[2] if front == "://" and end in secret.partition(front)[2] else inner
    return secret


def _lines(key: str) -> tuple[str, ...]:
    return tuple(line for line in key.split("\n") if len(line) > 24 and ":" not in line and not line.startswith("-"))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


Written = tuple[str, str, tuple[str, ...]]

PYTHON = '''"""Talks to the service."""

import client

{}


def connect(name):
    return client.Client(name, {})
'''
JAVASCRIPT = """import {{ Client }} from './client';

{}

export function connect(name) {{
  return new Client(name, {});
}}
"""
JAVA = """package acme;

public class Service {{
    {}

    Client connect(String name) {{
        return new Client(name, {});
    }}
}}
"""
GO = """package acme

import "acme/client"

{}

func Connect(name string) *client.Client {{
\treturn client.New(name, {})
}}
"""


def _in_python(chance: Chance, name: str, secret: str) -> Written:
    return PYTHON.format(f'{name} = "{secret}"', name), ".py", ()


def _in_javascript(chance: Chance, name: str, secret: str) -> Written:
    return JAVASCRIPT.format(f"const {name} = '{secret}';", name), ".js", ()


def _in_java(chance: Chance, name: str, secret: str) -> Written:
    return JAVA.format(f'private static final String {name} = "{secret}";', name), ".java", ()


def _in_go(chance: Chance, name: str, secret: str) -> Written:
    return GO.format(f'const {name} = "{secret}"', name), ".go", ()


def _in_comment(chance: Chance, name: str, secret: str) -> Written:
    return PYTHON.format(f"# old one: {name} = {secret}\n{name} = None", name), ".py", ()


def _in_bash(chance: Chance, name: str, secret: str) -> Written:
    return f"#!/bin/bash\nset -e\nexport {name.upper()}='{secret}'\n./deploy.sh \"$1\"\n", ".sh", ()


def _in_dictionary(chance: Chance, name: str, secret: str) -> Written:
    return PYTHON.format(f"options = {{\n    'region': 'eu',\n    '{name}': '{secret}',\n}}", "options"), ".py", ()


def _joined(chance: Chance, name: str, secret: str) -> Written:
    cut = len(secret) // 2
    front, back = secret[:cut], secret[cut:]
    return PYTHON.format(f'{name} = "{front}" + "{back}"', name), ".py", _halves(front, back)


def _joined_lines(chance: Chance, name: str, secret: str) -> Written:
    third = len(secret) // 3
    parts = secret[:third], secret[third : 2 * third], secret[2 * third :]
    lines = " +\n    ".join(f"'{part}'" for part in parts)
    return JAVASCRIPT.format(f"const {name} =\n    {lines};", name), ".js", _halves(*parts)


def _appended(chance: Chance, name: str, secret: str) -> Written:
    cut = len(secret) // 2
    front, back = secret[:cut], secret[cut:]
    return PYTHON.format(f'{name} = "{front}"\n{name} += "{back}"', name), ".py", _halves(front, back)


def _halves(*parts: str) -> tuple[str, ...]:
    """Those of them that say something, without the words that a form of address has."""
    return tuple(
        part
        for part in parts
        if len(part) >= 14 and sum(map(str.isdigit, part)) >= 2 and not set("=:@") & set(part[:-2])
    )


def _encoded(chance: Chance, name: str, secret: str) -> Written:
    blob = _base64(f"{name}={secret}")
    return PYTHON.format(f'blob = b64decode("{blob}")', "blob"), ".py", (blob,)


def _nested(chance: Chance, name: str, secret: str) -> Written:
    blob = _base64(_base64(f"{name}={secret}\n"))
    return JAVA.format(f'private static final String BLOB = "{blob}";', "BLOB"), ".java", (blob,)


def _encoded_alone(chance: Chance, name: str, secret: str) -> Written:
    blob = _base64(secret)
    return GO.format(f'const {name} = "{blob}"', name), ".go", (blob,)


def _in_hex(chance: Chance, name: str, secret: str) -> Written:
    digits = f"{name}={secret}".encode().hex()
    return PYTHON.format(f'raw = bytes.fromhex("{digits}")', "raw"), ".py", (digits,)


def _escaped(chance: Chance, name: str, secret: str) -> Written:
    escapes = "".join(f"\\x{ord(letter):02x}" for letter in f"{name}={secret}")
    return GO.format(f'const {name} = "{escapes}"', name), ".go", (escapes[-40:],)


def _in_notebook(chance: Chance, name: str, secret: str) -> Written:
    return _notebook([f'{name} = "{secret}"\n', f"print({name})\n"]), ".ipynb", ()


def _notebook(source: list[str]) -> str:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": ["# Notes\n"]}]
    cells.append({"cell_type": "code", "metadata": {}, "source": source})
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _key_in_python(chance: Chance, key: str) -> Written:
    return PYTHON.format(f'KEY = """{key}\n"""', "KEY"), ".py", ()


def _key_in_template(chance: Chance, key: str) -> Written:
    return JAVASCRIPT.format(f"const key = `{key}`;", "key"), ".js", ()


def _key_escaped(chance: Chance, key: str) -> Written:
    line = key.replace("\n", "\\n")
    return GO.format(f'const key = "{line}\\n"', "key"), ".go", ()


def _key_joined(chance: Chance, key: str) -> Written:
    lines = " +\n        ".join(f'"{line}\\n"' for line in key.split("\n"))
    return JAVA.format(f"private static final String KEY =\n        {lines};", "KEY"), ".java", ()


def _key_side_by_side(chance: Chance, key: str) -> Written:
    lines = "\n".join(f'    "{line}\\n"' for line in key.split("\n"))
    return PYTHON.format(f"KEY = (\n{lines}\n)", "KEY"), ".py", ()


def _key_in_comment(chance: Chance, key: str) -> Written:
    return PYTHON.format("\n".join(f"# {line}" for line in key.split("\n")) + "\nKEY = None", "KEY"), ".py", ()


def _key_indented(chance: Chance, key: str) -> Written:
    return PYTHON.format(f'KEY = """\n{textwrap.indent(key, "    ")}\n"""', "KEY"), ".py", ()


def _key_encoded(chance: Chance, key: str) -> Written:
    blob = _base64(key)
    return PYTHON.format(f'KEY = b64decode("{blob}")', "KEY"), ".py", (blob[:60], blob[-60:])


def _key_wrapped(chance: Chance, key: str) -> Written:
    blob = base64.encodebytes(key.encode()).decode().strip()
    return PYTHON.format(f'KEY = b64decode("""\n{blob}\n""")', "KEY"), ".py", tuple(blob.split("\n"))


def _key_wrapped_in_comment(chance: Chance, key: str) -> Written:
    lines = base64.encodebytes(key.encode()).decode().split()
    return PYTHON.format("\n".join(f"# {line}" for line in lines) + "\nKEY = None", "KEY"), ".py", tuple(lines)


def _key_nested(chance: Chance, key: str) -> Written:
    blob = _base64(_base64(key))
    return JAVASCRIPT.format(f"const key = atob(atob('{blob}'));", "key"), ".js", (blob[:60], blob[-60:])


def _key_in_notebook(chance: Chance, key: str) -> Written:
    lines = [line + "\n" for line in key.split("\n")]
    return _notebook(['KEY = """' + lines[0], *lines[1:-1], lines[-1].rstrip() + '"""\n']), ".ipynb", ()


FORMS: dict[str, Callable[[Chance, str, str], Written]] = {
    "python": _in_python,
    "javascript": _in_javascript,
    "java": _in_java,
    "go": _in_go,
    "comment": _in_comment,
    "bash": _in_bash,
    "dictionary": _in_dictionary,
    "joined": _joined,
    "joined lines": _joined_lines,
    "appended": _appended,
    "base64": _encoded,
    "nested base64": _nested,
    "base64 alone": _encoded_alone,
    "hex": _in_hex,
    "escaped": _escaped,
    "notebook": _in_notebook,
}
"""How a secret of one line is written."""

KEY_FORMS: dict[str, Callable[[Chance, str], Written]] = {
    "python": _key_in_python,
    "template": _key_in_template,
    "escaped": _key_escaped,
    "joined": _key_joined,
    "side by side": _key_side_by_side,
    "comment": _key_in_comment,
    "indented": _key_indented,
    "base64": _key_encoded,
    "wrapped base64": _key_wrapped,
    "base64 in comment": _key_wrapped_in_comment,
    "nested base64": _key_nested,
    "notebook": _key_in_notebook,
}
"""How a key of several lines is written."""
