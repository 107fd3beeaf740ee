"""REPO as a URL: nothing in it can be taken for an option, a program or another host, and no secret is repeated."""

from __future__ import annotations

import socket
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.addresses import Address, Network, address_of, ips_of, is_address
from tunesmith.data.codebase.source import open_repository
from tunesmith.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("https://h.org/a/b", Address("https://h.org/a/b", "https", "h.org", 443, "https://h.org/a/b")),
        ("HTTPS://H:8443/a%20b", Address("https://H:8443/a%20b", "https", "H", 8443, "https://H:8443/a%20b")),
        ("ssh://git@h/a", Address("ssh://git@h/a", "ssh", "h", 22, "ssh://h/a")),
        ("ssh://h:22022/~a/b", Address("ssh://h:22022/~a/b", "ssh", "h", 22022, "ssh://h:22022/~a/b")),
        ("git@h:a/b.git", Address("git@h:a/b.git", "ssh", "h", 22, "h:a/b.git")),
        ("h:/a", Address("h:/a", "ssh", "h", 22, "h:/a")),
        ("https://[2001:db8::1]:1/a", Address("https://[2001:db8::1]:1/a", "https", "2001:db8::1", 1, "https://[2001:db8::1]:1/a")),
    ],
)  # fmt: skip
def test_url_is_read_as_git_and_ssh_read_it(place: str, address: Address) -> None:
    assert is_address(place)
    assert address_of(place) == address


@pytest.mark.parametrize("place", ["a", "a/b:c", "./a:b", "/a", "a b", ".", "../a.tar.gz", ""])
def test_path_is_no_address(place: str) -> None:
    assert not is_address(place)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("http://h/a", "write https://"),
        ("git://h/a", "write https://"),
        ("ftp://h/a", "write https://"),
        ("file:///a", "give the folder itself"),
        ("ext::sh -c touch% x", "would run a program"),
        ("fd::7", "would read an open file"),
        ("git+ssh://h/a", "write ssh://"),
        ("s3://h/a", "is no way to fetch"),
        ("https::h/a", "not how a URL is written"),
        ("https:/h/a", "not how a URL is written"),
        ("https://h", "not how a URL is written"),
        ("https://h/a?x=1", "write %40 for @"),
        ("https://h/a#x", "write %40 for @"),
        ("https://h/a b", "write %40 for @"),
        ("https://h/a@b", "write %40 for @"),
        ("https://h/a\x9b", "write %40 for @"),
        ("https://h/\u00e9", "write %40 for @"),
        ("https://-oProxyCommand=x/a", "not how a URL is written"),
        ("ssh://-oProxyCommand=x/a", "not how a URL is written"),
        ("ssh://-oA=b@h/a", "characters that none has"),
        ("-oA=b@h:a", "characters that none has"),
        ("git@-oA:a", "not how a URL is written"),
        ("h:-a", "write %40 for @"),
        ("https://2130706433/a", "neither a name nor an IP address"),
        ("https://0x7f.1/a", "neither a name nor an IP address"),
        ("https://127.1/a", "neither a name nor an IP address"),
        ("https://h:0/a", "has no port 0"),
        ("https://h:65536/a", "has no port 65536"),
        ("https://h/a\nb", "not how a URL is written"),
    ],
)
def test_what_is_no_safe_url_is_refused_with_a_remedy(place: str, words: str) -> None:
    assert is_address(place)
    with pytest.raises(InvalidArgument, match=words):
        address_of(place)


def test_refusals_come_from_opening_too() -> None:
    for place in ("ext::sh -c x", "http://10.0.0.7/a", "--upload-pack=x", "-a:b", ""):
        with pytest.raises(InvalidArgument, match="REPO"):
            open_repository(place)


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(
    "hunter2{}hunter2".format
)


@given(
    SECRET, st.sampled_from(["https://{}@h/a", "https://me:{}@h/a", "ssh://me:{}@h/a", "me:{}@h:a", "https://h/a?k={}"])
)
def test_secret_in_a_url_is_refused_and_not_repeated(secret: str, form: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        address_of(form.format(secret))
    assert "hunter2" not in raised.value.message


PIECES = [
    "https://",
    "ssh://",
    "git@",
    "h.org",
    ":",
    "/",
    "-",
    "@",
    "[",
    "]",
    "::1",
    "%",
    "\\",
    "\n",
    " ",
    "?",
    "a",
    "22",
    ".",
]


@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=10).map("".join)))
def test_what_passes_has_one_reading(place: str) -> None:
    if not is_address(place):
        return
    try:
        found = address_of(place)
    except InvalidArgument:
        return
    assert not found.url.startswith("-")
    assert not found.host.startswith("-")
    assert found.url.isprintable()
    assert " " not in found.url
    if "://" in found.url:
        parts = urlsplit(found.url)
        assert (parts.scheme, parts.hostname) == (found.scheme, found.host.lower())
        assert parts.port in (None, found.port)
        assert not parts.password
    else:
        host, _, path = found.url.rpartition("@")[2].partition("]:" if "[" in found.url else ":")
        assert host.strip("[") == found.host
        assert not path.startswith("-")


def resolving(monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
    found = [(0, 0, 0, "", (ip, 443)) for ip in ips]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)


PUBLIC = ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
PRIVATE = ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"]
NEVER = [
    "169.254.169.254", "169.254.1.1", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "240.0.0.1",
    "255.255.255.255", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "192.0.2.1", "fec0::1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::169.254.169.254",
]  # fmt: skip
ALLOWED = {"public": PUBLIC, "private": PUBLIC + PRIVATE, "any": PUBLIC + PRIVATE + LOOPBACK}
HOST = address_of("https://h.org/a")


@pytest.mark.parametrize("network", get_args(Network))
@pytest.mark.parametrize("ip", PUBLIC + PRIVATE + LOOPBACK + NEVER)
def test_only_hosts_of_the_network_are_asked(network: Network, ip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ip)
    if ip in ALLOWED[network]:
        assert len(ips_of(HOST, network)) == 1
    else:
        with pytest.raises(PermissionDenied, match=r"h\.org is "):
            ips_of(HOST, network)


def test_every_ip_of_a_host_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "93.184.216.34", "93.184.216.34", "2606:4700::1111")
    assert ips_of(HOST, "public") == ["93.184.216.34", "2606:4700::1111"]
    resolving(monkeypatch, "93.184.216.34", "169.254.169.254")
    with pytest.raises(PermissionDenied, match="link-local"):
        ips_of(HOST, "any")


def test_host_that_has_no_ip_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(code: int) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise socket.gaierror(code, "no")

        return fail

    monkeypatch.setattr("socket.getaddrinfo", failing(socket.EAI_NONAME))
    with pytest.raises(NotFound, match=r"no host h\.org"):
        ips_of(HOST, "any")
    monkeypatch.setattr("socket.getaddrinfo", failing(socket.EAI_AGAIN))
    with pytest.raises(Unavailable, match="try again"):
        ips_of(HOST, "any")
