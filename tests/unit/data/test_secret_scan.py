"""Secrets are found wherever they are planted; digests, UUIDs and placeholders are not taken for any."""

from __future__ import annotations

import base64
import pkgutil
import random
import string
import uuid

import detect_secrets.plugins
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planted_secrets import FORMS, KEY_FORMS, Chance, Planted, keys, planted, tokens
from tunesmith.data.codebase import secret_scan
from tunesmith.data.codebase.secret_names import is_placeholder
from tunesmith.data.codebase.secret_scan import Finding, code, find, merged

PLANTED = planted(1)
of = Chance(5).of
HEX = string.hexdigits[:16]


def without(text: str, findings: list[Finding]) -> str:
    for finding in reversed(findings):
        text = f"{text[: finding.start]}\0{text[finding.end :]}"
    return text


def left(file: Planted) -> list[str]:
    """What of a planted secret is not found."""
    rest = without(file.source_text, find(file.source_text))
    return [trace for trace in file.traces if trace in rest]


@pytest.mark.parametrize("form", dict.fromkeys([*FORMS, *KEY_FORMS]))
def test_no_trace_of_a_planted_secret_lies_outside_what_is_found(form: str) -> None:
    files = [file for file in PLANTED if file.form == form]
    assert files
    assert [(file.kind, left(file)) for file in files if left(file)] == []


def test_fifty_kinds_are_planted_and_none_without_a_trace() -> None:
    assert len({file.kind for file in PLANTED}) >= 50
    assert all(file.traces for file in PLANTED)
    assert all(trace in file.source_text for file in PLANTED if file.form == "python" for trace in file.traces)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('client = Client("s3", password="', '")'),
        ('{"password": "', '"}'),
        ("# password: ", "\nx = 1"),
        ('os.environ["DB_PASSWORD"] = "', '"'),
        ('if password == "', '":\n    pass'),
        ('def connect(host, password="', '"):\n    pass'),
        ('ds.setPassword("', '");'),
        ('"Server=tcp:db;User ID=sa;Password=', ';Encrypt=True"'),
        ("PGPASSWORD=", " psql -h db"),
        ("mysql -u root -p", " db"),
        ("sshpass -p ", " ssh root@host"),
        ("docker login -u acme -p ", " registry.acme.io"),
        ("curl -u admin:", " https://api.acme.io/v1"),
        ("CREATE USER app WITH PASSWORD '", "';"),
        ("CREATE USER 'app'@'%' IDENTIFIED BY '", "';"),
        ("define('DB_PASSWORD', '", "');"),
        ("{ :password => '", "' }"),
        ('smtp.login("bot", "', '")'),
        ('requests.get(url, auth=("bot", "', '"))'),
        ('parser.add_argument("--password", default="', '")'),
        ('"machine api.acme.io login bot password ', '"'),
        ('u = "postgres://bot:', '@db.acme.io/x"'),
        ("<password>", "</password>"),
        ('PASSWORD = os.getenv("X") or "', '"'),
    ],
)
@pytest.mark.parametrize("password", ["Gx7pQ2zz1", "p4zZw-x9!Kq", "Tr0ub4dor&3x", of(24)])
def test_a_password_is_found_by_what_stands_around_it(before: str, after: str, password: str) -> None:
    assert password not in without(before + password + after, find(before + password + after))


@pytest.mark.parametrize(
    "password", ["hunter2", "Summer2024!", "SuperSecret99", "correct horse battery staple", "qzmwnxbplk"]
)
def test_what_people_make_up_is_a_password_where_one_is_assigned(password: str) -> None:
    assert [finding.kind for finding in find(f'db_password = "{password}"')] == ["password"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('headers = {"X-Api-Key": "', '"}'),
        ("const cfg = { apiKey: '", "' };"),
        ("const token: string = `", "`;"),
        ('const API_KEY: &str = "', '";'),
        ('let token = String::from("', '");'),
        ('var secret = []byte("', '")'),
        ('static const char *api_token = "', '";'),
        ('#define API_KEY "', '"'),
        ("config.secret_key_base = '", "'"),
        ("$config['encryption_key'] = '", "';"),
        ('url = "https://api.acme.io/v1?api_key=', '&x=1"'),
        ('const secret = process.env.SECRET || "', '";'),
        ('SECRET = os.environ.get("SECRET", "', '")'),
        ('TOKEN = (\n    "', '"\n)'),
        ('<add key="ApiKey" value="', '"/>'),
        ('API_KEY = base64.b64decode("', '")'),
        ("git clone https://", "@github.com/acme/x.git"),
        ('headers = {"Authorization": "Bearer ', '"}'),
        ('headers = {"Authorization": "Bearer " + "', '"}'),
        ('"source": ["api_key = \\"', '\\"\\n"]'),
    ],
)
@pytest.mark.parametrize("value", [of(32, HEX), of(32), of(40, string.ascii_lowercase + string.digits)])
def test_a_value_of_a_machine_is_found_by_its_name(before: str, after: str, value: str) -> None:
    assert value not in without(before + value + after, find(before + value + after))


def test_a_secret_in_base64_behind_an_example_is_found() -> None:
    example, real = "AK" + "IAIOSFODNN7EXAMPLE", "gh" + "p_" + of(36)
    blob = base64.b64encode(f"{example} {real}".encode()).decode()
    assert blob not in without(blob, find(blob))


def test_pieces_in_a_literal_that_is_itself_in_a_literal_are_joined() -> None:
    token = "gh" + "p_" + of(36)
    text = f'"source": ["token = \\"{token[:20]}\\" + \\"{token[20:]}\\"\\n"]'
    assert token[20:] not in without(text, find(text))


def test_a_letter_that_has_two_small_ones_hides_no_name() -> None:
    value = of(32)
    assert find(f'# \u0130\nAPI_KEY = "{value}"')


def test_the_end_of_a_key_without_its_footer_is_found() -> None:
    key = keys(Chance(3))["rsa-key"].rpartition("\n")[0]
    text = f'KEY = """{key}\n"""\n\ndef f():\n    return 1\n'
    rest = without(text, find(text))
    assert all(line not in rest for line in key.split("\n"))
    assert "return 1" in rest


def test_a_key_without_its_header_is_found() -> None:
    lines = keys(Chance(4))["pkcs8-key"].split("\n")[1:-1]
    text = "KEY = '" + "".join(lines) + "'\nx = 1\n"
    assert "".join(lines)[-60:] not in without(text, find(text))


FORMS_OF_DIGESTS = (
    'commit = "{}"', 'COMMIT_SHA = "{}"', 'checksum: "{}",', '  "integrity": "{}",', "# see revision {}", "ref: {}",
    'assert digest == "{}"', 'id = UUID("{}")', 'const id = "{}";', '  sha256 "{}"', "etag = '{}'", 'return "{}"',
    '{{"hash": "{}"}}', 'md5 = "{}"', 'cache_key = "{}"', 'KEY = "{}"', 'session = "{}"', 'token_id = "{}"',
    '"archive": "parts/x.tar#{}"', "git checkout {}", 'rev = "{}"', "uuid: {}", 'trace_id="{}", ',
    'EXPECTED = ["{}",', "FROM python@{}", 'password_hash = "{}"', 'public_key_fingerprint = "{}"', "uses: a/b@{}",
)  # fmt: skip


def test_none_of_a_thousand_digests_and_uuids_is_a_secret() -> None:
    chance = random.Random(3)
    lines = []
    for number in range(1000):
        data = chance.randbytes(64)
        digest = (
            data[:20].hex(),
            data[:32].hex(),
            data[:16].hex(),
            str(uuid.UUID(bytes=data[:16], version=4)),
            "sha256-" + base64.b64encode(data[:32]).decode(),
            "sha512-" + base64.b64encode(data).decode(),
            "sha256:" + data[:32].hex(),
            str(uuid.UUID(bytes=data[:16], version=4)).upper(),
        )[number % 8]
        lines.append(chance.choice(FORMS_OF_DIGESTS).format(digest))
    assert [line for line in lines if find(line)] == []
    assert find("\n".join(lines)) == []


def test_a_digest_is_one_also_where_a_secret_could_be() -> None:
    assert find(f'page_token = "{uuid.UUID(int=random.Random(1).getrandbits(128))}"') == []
    assert find(f'token = "sha256-{base64.b64encode(random.Random(1).randbytes(32)).decode()}"') == []
    assert find(f'x = "12345678:{random.Random(1).randbytes(20).hex()}"') == []


@pytest.mark.parametrize(
    "text",
    [
        'password = os.environ["PASSWORD"]',
        "password = getpass.getpass('Password: ')",
        'password = "changeme"',
        'password = "<password>"',
        'password = "xxxxxxxx"',
        'password = "${DB_PASSWORD}"',
        'password = "{{ password }}"',
        'password = "%s"',
        'password = "********"',
        'password = "your-password-here"',
        'password = ""',
        'PASSWORD_FIELD = "user_password1"',
        'token_type = "bearer"',
        'label = {"password": "Password:"}',
        'names = ["password", "user_name2", "token"]',
        "token = tokens[1]\nsecret = self.secret2\n",
        "api_key = config.api_key",
        "def secret_key(self): return self._key",
        'access_token = "token"',
        'SECRET_KEY = "django-insecure-change-me"',
        'raise ValueError("password: must have 8 characters or more")',
        '__author__ = "Jane Doe"',
        "AK" + "IAIOSFODNN7EXAMPLE",
        'url = "postgres://{user}:{password}@{host}/db"',
        'url = "http://localhost:8080/a@b"',
        '"-----BEGIN CERTIFICATE-----"',
        'if "-----BEGIN RSA ' + 'PRIVATE KEY-----" in text: pass',
        "KEYWORDS = ['SQLITE_CONSTRAINT_TRIGGER', 'GPT2LMHeadModel', 'moe_mm_token_type_ids']",
        "x = b'\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x09\\x0a'",
        "table = [65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81]",
    ],
)
def test_what_shows_where_a_secret_goes_is_none(text: str) -> None:
    assert find(text) == []


@given(st.text() | st.text(alphabet="pasword=:\"'@/. -AKIAyJ0\\n+%x,\n"))
def test_of_any_text_the_finds_lie_in_it_in_order_and_apart(text: str) -> None:
    last = 0
    for finding in find(text):
        assert last <= finding.start < finding.end <= len(text)
        last = finding.end


@given(before=st.text(string.ascii_lowercase + " \n=.", max_size=80), after=st.text(" \n;,)", max_size=20))
def test_surroundings_do_not_hide_a_token(before: str, after: str) -> None:
    token = "gh" + "p_" + "a1B2" * 9
    assert find(f"{before} {token}{after}") == [Finding("github-token", len(before) + 1, len(before) + 41)]


@pytest.mark.parametrize("escape", ["\\n", "\\t", "\\r", "\\\\n"])
def test_an_escape_in_front_does_not_hide_a_token(escape: str) -> None:
    token = "np" + "m_" + of(36)
    assert token not in without(f'"a{escape}{token}"', find(f'"a{escape}{token}"'))


@pytest.mark.parametrize(
    "text",
    [
        "A" * (1 << 18),
        "password=" * 20_000,
        'password = "' * 20_000,
        "password: " * 20_000,
        "://a:" * 40_000,
        ("-----BEGIN RSA " + "PRIVATE KEY-----\n") * 5_000,
        "PuTTY-User-" + "Key-File-3: " * 10_000,
        '"a", ' * 40_000,
        "key" * 80_000,
        "eyJ" * 80_000,
        ",65" * 80_000,
        "\\x41" * 60_000,
        base64.b64encode(base64.b64encode(base64.b64encode(b"hello " * 20_000))).decode(),
        base64.encodebytes(base64.b64encode(b"hello, some text " * 8_000)).decode(),
    ],
    ids=range(14),
)
def test_texts_that_are_made_to_take_long_end(text: str) -> None:
    assert len(find(text)) <= len(text) // 10


def test_every_plugin_of_detect_secrets_is_used_or_left_out_with_a_reason() -> None:
    used = {line.split()[0] for line in secret_scan._PLUGINS.strip().splitlines()}
    left_out = {"base", "basic_auth", "keyword", "npm", "high_entropy_strings", "ip_public", "private_key"}
    assert {module.name for module in pkgutil.iter_modules(detect_secrets.plugins.__path__)} == used | left_out
    assert used & left_out == set()
    assert all(plugin.patterns for plugin in secret_scan._plugins())


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("cloudant-key", f'cloudant_password = "{of(64, HEX)}"'),
        ("artifactory-token", f'x = "AP{of(1, "ABCDEF")}{of(20)}"'),
        ("softlayer-key", f"sl_key={of(64, HEX)}"),
    ],
)
def test_what_only_detect_secrets_knows_is_found(kind: str, text: str) -> None:
    assert kind in {code(secret.kind) for secret in secret_scan._listed(text)}
    assert find(text)


def test_finds_that_overlap_are_one_of_the_kind_that_says_more() -> None:
    text = "a" * 20 + " " + "b" * 20
    found = [Finding("secret-value", 0, 12), Finding("github-token", 4, 20), Finding("password", 22, 30)]
    assert merged(text, found) == [Finding("github-token", 0, 20), Finding("password", 22, 30)]


def test_a_find_reaches_to_the_end_of_its_word() -> None:
    assert merged("x = abcdefgh+/== y", [Finding("npm-token", 4, 8)]) == [Finding("npm-token", 4, 16)]


@pytest.mark.parametrize("name", tokens(Chance(1)))
def test_no_value_of_a_machine_is_a_placeholder(name: str) -> None:
    assert not any(is_placeholder(tokens(Chance(seed))[name][1]) for seed in range(20))


def test_what_is_encoded_has_the_kind_of_what_it_encodes() -> None:
    assert code("GitHub token in base64 in base64 in hex") == "github-token"
