"""What is redacted parses, holds nothing that can be found, and is the same when redacted again; or the file goes."""

from __future__ import annotations

import ast
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planted_secrets import FORMS, KEY_FORMS, Chance, keys, planted
from tunesmith.data.codebase import personal_data, secret_scan
from tunesmith.data.codebase.languages import language_named, language_of
from tunesmith.data.codebase.parsing import Parsed, parse
from tunesmith.data.codebase.redaction import (
    MOST_FINDINGS,
    PERSONAL,
    REASONS,
    Redacted,
    Unredactable,
    find,
    kinds,
    merged,
    of_engine,
    redact,
)
from tunesmith.data.codebase.secret_engine import Found
from tunesmith.data.codebase.secret_scan import Finding

PLANTED = planted(2)
PYTHON = language_named("Python")
of = Chance(6).of
TOKEN = "gh" + "p_" + of(36)
CODE = "import os\n\n\ndef connect(name, retries):\n    return os.path.join(name, str(retries))\n"
MAIL = "jane.roe" + "@" + "posteo.net"


def clean(text: str, path: str = "a.py") -> Redacted:
    done = redact(path, text, find(text), language_of(path, text.encode()))
    assert isinstance(done, Redacted), done
    return done


@pytest.mark.parametrize("form", dict.fromkeys([*FORMS, *KEY_FORMS]))
def test_no_trace_of_a_planted_secret_is_left_and_the_code_parses(form: str) -> None:
    for file in PLANTED:
        if file.form == form:
            done = clean(file.source_text, file.file_name)
            assert [trace for trace in file.traces if trace in done.text] == [], file.kind
            language = language_of(file.file_name, done.text.encode())
            if language is not None and language.is_parsed:
                parsed = parse(done.text, language)
                assert isinstance(parsed, Parsed)
                assert parsed.broken == 0, file.kind


@pytest.mark.parametrize("form", ["python", "joined", "appended", "side by side", "indented", "wrapped base64", "hex"])
def test_redacted_python_is_what_python_reads(form: str) -> None:
    for file in PLANTED:
        if file.form == form and file.file_name.endswith(".py"):
            ast.parse(clean(file.source_text).text)


def test_nothing_is_found_in_what_was_redacted_and_so_it_stays() -> None:
    for file in PLANTED[::7]:
        done = clean(file.source_text, file.file_name)
        assert find(done.text) == []
        assert redact(file.file_name, done.text, find(done.text)) == Redacted(done.text, {})


VALUES = {
    "card-number": "4556 7375 8689 9855",
    "social-security-number": "536-22-8726",
    "iban": "DE02120300000000202051",
}


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("around", ['password = "{}"', "# token: {}", "ssn {}", "{}", "Basic {}", "x://u:{}@h.net"])
def test_no_placeholder_is_ever_found(kind: str, around: str) -> None:
    if kind in PERSONAL and "://" in around:
        return  # nobody's number is a password
    text = CODE + VALUES.get(kind, "a1B2" * 9)
    done = redact("a.txt", text, [Finding(kind, len(CODE), len(text))])
    assert isinstance(done, Redacted)
    assert find(around.format(done.text[len(CODE) :])) == []


def test_pieces_of_one_secret_keep_their_quotes_and_signs() -> None:
    text = f'{CODE}token = "{TOKEN[:15]}" + \\\n    "{TOKEN[15:30]}" + "{TOKEN[30:]}"\n'
    assert clean(text).text == f'{CODE}token = "REDACTED_GITHUB_TOKEN" + \\\n    "" + ""\n'


def test_a_key_over_several_lines_becomes_one_word() -> None:
    key = keys(Chance(7))["rsa-key"]
    assert clean(f'{CODE}KEY = """{key}"""\n').text == f'{CODE}KEY = """REDACTED_PRIVATE_KEY"""\n'


def test_of_a_url_the_password_goes_and_the_rest_stays() -> None:
    text = f'{CODE}u = "postgres://app:{of(14)}@db.acme.io:5432/x"\n'
    assert clean(text).text == f'{CODE}u = "postgres://app:REDACTED_PASSWORD_IN_A_URL@db.acme.io:5432/x"\n'


def test_personal_data_becomes_what_is_kept_for_examples() -> None:
    text = f'{CODE}a = "{MAIL}"\nb = "81.169.145.64"\nc = "+49 30 9018 2735"\nd = 4556737586899855\n'
    done = clean(text)
    assert done.text.endswith('a = "name@example.com"\nb = "192.0.2.1"\nc = "+1 202 555 0100"\nd = 0000000000000000\n')
    assert done.counts == {"card-number": 1, "email-address": 1, "ip-address": 1, "phone-number": 1}
    ast.parse(done.text)


def test_a_secret_that_stands_again_without_its_name_goes_as_well() -> None:
    value = of(32)
    done = clean(f'{CODE}API_KEY = "{value}"\n\n\ndef test():\n    assert call() == "{value}"\n')
    assert value not in done.text
    assert done.counts == {"secret-value": 2}


def test_what_breaks_the_code_rejects_the_file() -> None:
    text = f'{CODE}x = "abc"\n'
    cut = Finding("secret-value", text.index('c"'), text.index('c"') + 2)
    done = redact("a.py", text, [cut], PYTHON)
    assert isinstance(done, Unredactable)
    assert done.reason == "secret"


def test_code_that_was_broken_before_may_stay_so() -> None:
    text = f'{CODE}class ) "db_password = \\"hunter2\\"" ] = =\n'
    parsed = parse(text, PYTHON)
    assert isinstance(parsed, Parsed)
    assert parsed.broken > 0
    assert isinstance(redact("a.py", text, find(text), PYTHON), Redacted)


def test_a_find_that_is_left_rejects_the_file() -> None:
    text = f'{CODE}x = "{TOKEN}"\ny = "{"np" + "m_" + of(36)}"\n'
    done = redact("a.py", text, find(text)[:1], PYTHON)
    assert isinstance(done, Unredactable)
    assert done.reason == "secret"


def test_personal_data_that_nobody_asked_for_rejects_nothing() -> None:
    text = f'{CODE}x = "{TOKEN}"  # {MAIL}\n'
    done = redact("a.py", text, secret_scan.find(text), PYTHON)
    assert isinstance(done, Redacted)
    assert MAIL in done.text


@pytest.mark.parametrize("path", [".env", "deploy/.env.production", ".netrc", "id_rsa", "tls/server.pem", ".npmrc"])
def test_a_file_that_is_kept_for_secrets_is_rejected(path: str) -> None:
    text = f"{CODE}TOKEN={TOKEN}\n"
    assert isinstance(redact(path, text, find(text)), Unredactable)


def test_a_file_of_hardly_anything_but_a_key_is_rejected() -> None:
    key = keys(Chance(8))["openssh-key"]
    assert isinstance(redact("notes.txt", key + "\n# mine\n", find(key)), Unredactable)


def test_a_service_account_is_rejected() -> None:
    key = keys(Chance(8))["pkcs8-key"].replace("\n", "\\n")
    text = f'{{\n  "type": "service_account",\n  "project_id": "acme",\n  "private_key": "{key}"}}\n'
    assert isinstance(redact("x.json", text, find(text)), Unredactable)


def test_a_list_of_secrets_is_rejected_before_it_takes_long() -> None:
    text = "".join(f'x{number} = "np{"m_" + of(36)}"\n' for number in range(MOST_FINDINGS + 1))
    done = redact("a.py", text, find(text), PYTHON)
    assert isinstance(done, Unredactable)
    assert done.reason == "secret"


def test_no_result_shows_a_secret() -> None:
    text = f'{CODE}x = "{TOKEN}"\n'
    seen = [repr(clean(text)), repr(find(text)), repr(redact("id_rsa", text, find(text)))]
    assert not any(TOKEN[5:15] in words for words in seen)
    assert CODE not in seen[0]


def test_an_address_in_a_secrets_place_is_not_counted_with_it() -> None:
    text = f'{CODE}x = "https://bot:{of(20)}@mail.acme.net/"\n'
    found = merged(text, find(text), [Finding(personal_data.EMAIL, text.index("bot:") + 8, text.index("acme.net") + 8)])
    assert [finding.kind for finding in found] == ["password-in-a-url"]


def test_the_engines_bytes_become_characters() -> None:
    text = "\u00e9\u20ac\U0001f600 secret \u00e9"
    start = len("\u00e9\u20ac\U0001f600 ".encode())
    assert of_engine(text, [Found(3, "npm-token", start, start + 6)]) == [Finding("npm-token", 4, 10)]
    assert of_engine("plain", [Found(0, "npm-token", 1, 3)]) == [Finding("npm-token", 1, 3)]


@given(st.integers(0, 2**32))
def test_any_finds_of_any_kinds_are_merged_in_order_and_apart(seed: int) -> None:
    chance = random.Random(seed)
    text = "ab c1-2 " * 10
    found = []
    for _ in range(12):
        start = chance.randrange(len(text) - 1)
        found.append(Finding(chance.choice(sorted(kinds())), start, chance.randrange(start + 1, len(text))))
    last = 0
    for finding in merged(text, found[:6], found[6:]):
        assert last <= finding.start < finding.end
        last = finding.end


def test_results_can_be_sent_to_another_process() -> None:
    done = clean(f'{CODE}x = "{TOKEN}"\n')
    assert pickle.loads(pickle.dumps(done)) == done


def test_every_kind_and_reason_is_a_code_with_words() -> None:
    for name, words in {**kinds(), **REASONS}.items():
        assert name == name.lower().replace(" ", "-")
        assert words
    assert set(PERSONAL) < set(kinds())
    assert {"github-token", "private-key", "password", "email-address"} <= set(kinds())
