"""Where on the net a repository is: what REPO says as a URL, and the machine that it leads to.

In: REPO as it was typed. Out: an `Address` whose parts git and ssh cannot take for anything else, then the IP addresses
of its host, each of which was looked at. Only https and ssh: whatever else git knows runs programs, or is open to
everybody on the way. Messages never repeat what may be a secret. Nothing is connected to here.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from typing import Literal, NamedTuple

from tunesmith.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable

Network = Literal["public", "private", "any"]
"""Which hosts may be asked. public: those that everybody reaches. private: those of a company's own networks too
(10.*, 172.16-31.*, 192.168.*, 100.64-127.*, fc00::/7). any: this machine too. None includes link-local addresses and
those where a cloud answers with a machine's credentials."""
_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_Kind = Literal["public", "private", "loopback", "never"]

_PORTS = {"https": 443, "ssh": 22}
_HOST = r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_URL = re.compile(rf"(?P<scheme>https|ssh)://(?:(?P<user>[^/]*)@)?{_HOST}(?::(?P<port>\d{{1,5}}))?(?P<path>/.+)", re.I)
_SHORT = re.compile(rf"(?:(?P<user>[^/:]*)@)?{_HOST}:(?P<path>[^:].*)")
"""ssh's way: git@host:path."""
_FORM = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)(?:://|::)|[^/]+:")
"""What is no path. As git tells it: a colon before the first slash."""
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_PATH = re.compile(r"(?!-)[^\x00-\x20\x7f-\U0010ffff?#@\\]+")
_REFUSED = {
    "http": "goes over the net for everybody to read and to change; write https://",
    "git": "goes over the net for everybody to read and to change; write https://",
    "ftp": "is no way to fetch a repository any more; write https://",
    "ftps": "is no way to fetch a repository any more; write https://",
    "file": "is for what is on this machine; give the folder itself",
    "ext": "would run a program; give an https or ssh URL",
    "fd": "would read an open file; give an https or ssh URL",
    "git+ssh": "is an old way to write it; write ssh://",
    "ssh+git": "is an old way to write it; write ssh://",
}
_OTHER = "is no way to fetch a repository; give an https or ssh URL, a folder or an archive"
_PRIVATE = tuple(
    ipaddress.ip_network(name)
    for name in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_CREDENTIALS = frozenset(
    # Where AWS, Alibaba, Oracle and Azure tell a machine its credentials, beside 169.254.*.
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)
_HOLDING_IPV4 = tuple(ipaddress.ip_network(name) for name in ("::/96", "::ffff:0:0/96", "64:ff9b::/96"))
_ALLOWED: dict[Network, frozenset[_Kind]] = {
    "public": frozenset({"public"}),
    "private": frozenset({"public", "private"}),
    "any": frozenset({"public", "private", "loopback"}),
}


class Address(NamedTuple):
    """A repository on a server."""

    url: str
    """For git."""
    scheme: Literal["https", "ssh"]
    host: str
    """A name, or an IP address without brackets."""
    port: int
    shown: str
    """For people: without a user."""


def is_address(place: str) -> bool:
    """Whether it is written as a URL, be it one that is refused, and not as a path."""
    return _FORM.match(place) is not None


def is_literal(address: Address) -> bool:
    """Whether the host is an IP address, or a name of this machine: no name server is asked for it."""
    host = address.host.lower().rstrip(".")
    return host == "localhost" or host.endswith(".localhost") or ":" in host or host.replace(".", "").isdigit()


def address_of(place: str) -> Address:
    """InvalidArgument where it is none that can be fetched from."""
    form = _FORM.match(place)
    assert form is not None, f"{place} is a path"
    scheme = (form["scheme"] or "ssh").lower()
    if scheme not in _PORTS:
        raise _refusal(place, f"{scheme}: {_REFUSED.get(scheme, _OTHER)}")
    found = _URL.fullmatch(place) or (_SHORT.fullmatch(place) if "://" not in place else None)
    if found is None or (
        not form["scheme"] and (found["host"].lower() in (*_PORTS, *_REFUSED) or "@" in found["path"])
    ):
        raise _refusal(place, "this is not how a URL is written; write https://HOST/PATH or ssh://USER@HOST/PATH")
    _refuse_user(place, scheme, found["user"])
    if not _PATH.fullmatch(found["path"]):
        raise _refusal(place, "the path begins with a dash, or has a character such as ?, # or @; write %40 for @")
    _refuse_number(place, found["host"])
    return _address(scheme, found)


def ips_of(address: Address, network: Network, hosts: Collection[str] = ()) -> list[str]:
    """All IP addresses of the host, as its resolver orders them.

    PermissionDenied if any of them is none that `network` includes: a name that leads to two places leads to both.
    hosts  HOST or HOST:PORT, in lower case, of those for which the network is `any`
    """
    known = {address.host.lower(), f"{address.host.lower()}:{address.port}"}
    allowed = _ALLOWED["any" if known & set(hosts) else network]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise Unavailable(f"no name server answers for {address.host} ({error}); try again") from error
        raise NotFound(f"there is no host {address.host} ({error}); look at the URL {address.shown}") from error
    ips = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    for ip in ips:
        kind = _kind(ip)
        if kind not in allowed:
            raise PermissionDenied(f"{address.host} is {ip}, and {_WHY[kind]}")
    return [str(ip) for ip in dict.fromkeys(ips)]


_WHY: dict[_Kind, str] = {
    "never": "nothing is fetched from there: link-local, reserved, or where a cloud keeps credentials",
    "loopback": "that is this machine; allow it with --network any",
    "private": "that is in a private network; allow it with --network private",
}


def _refusal(place: str, reason: str) -> InvalidArgument:
    said = repr(place[:200])
    if not {*"@?#"}.isdisjoint(place):  # where a secret may be, with any character in it
        scheme, found, _ = place.partition("://")
        said = f"'{scheme}://...'" if found and scheme.isalnum() else "this URL"
    return InvalidArgument.of("REPO", f"{said} cannot be fetched: {reason}")


def _refuse_user(place: str, scheme: str, user: str | None) -> None:
    if user is None:
        return
    if scheme == "https":
        raise _refusal(
            place,
            "a user name or password in an https URL ends up in logs; leave it out. For a repository that is not "
            "public use ssh with --ssh-key, or clone it and give the folder",
        )
    if ":" in user:
        raise _refusal(place, "a password in a URL ends up in logs; leave it out and use --ssh-key")
    if not _USER.fullmatch(user):
        raise _refusal(place, "the user name has characters that none has; look at the URL")


def _refuse_number(place: str, host: str) -> None:
    """Such as 2130706433 and 0x7f.1, which are read differently by different programs."""
    last = host.rpartition(".")[2]
    if host.startswith("[") or not re.match(r"\d+$|0x", last, re.I):
        return
    try:
        ipaddress.IPv4Address(host)
    except ValueError as error:
        raise _refusal(place, f"the host {host} is neither a name nor an IP address") from error


def _address(scheme: str, found: re.Match[str]) -> Address:
    parts = found.groupdict()
    host, port, path = found["host"], parts.get("port"), found["path"]
    if port is not None and not 0 < int(port) < 1 << 16:
        raise InvalidArgument.of("REPO", f"{host} has no port {port}; give one of 1 to 65535, or none")
    user = f"{found['user']}@" if found["user"] else ""
    where = f"{host}:{int(port)}" if port else host
    url, shown = (f"{user}{host}:{path}", f"{host}:{path}")
    if parts.get("scheme"):
        url, shown = f"{scheme}://{user}{where}{path}", f"{scheme}://{where}{path}"
    return Address(url, "https" if scheme == "https" else "ssh", host.strip("[]"), int(port or _PORTS[scheme]), shown)


def _kind(ip: _Ip) -> _Kind:
    inner = _ipv4_in(ip)
    if inner is not None:
        return _kind(inner)
    if ip in _CREDENTIALS or ip.is_multicast or ip.is_link_local or getattr(ip, "is_site_local", False):
        return "never"
    if ip.is_loopback:
        return "loopback"
    if any(ip in net for net in _PRIVATE):
        return "private"
    return "public" if ip.is_global else "never"


def _ipv4_in(ip: _Ip) -> ipaddress.IPv4Address | None:
    """Where a packet to it ends up, if that is an address of the older kind."""
    if isinstance(ip, ipaddress.IPv4Address) or ip.is_loopback or ip.is_unspecified:
        return None
    if any(ip in net for net in _HOLDING_IPV4):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
