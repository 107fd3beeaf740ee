"""What a build says in the words of the command line, in those of the service: fields of a body and settings.

A client of the service has no flags, no disk that the service may read, and no say in keys; whoever runs it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tunesmith.errors import InvalidArgument, TunesmithError, Violation

_TO_BUCKET = "pack it as an archive, upload that into a bucket and give its gs:// URI"
_LISTED = "whoever runs this server may list the host in TUNESMITH_GIT_HOSTS"
_WORDS: Mapping[str, str] = {
    "clone it yourself and give the folder": _TO_BUCKET,
    "clone it and give the folder": _TO_BUCKET,
    "give the folder itself": _TO_BUCKET,
    "give an https or ssh URL, a folder or an archive": "give an https or ssh URL, or an archive in a bucket",
    "allow it with --network any": _LISTED,
    "allow it with --network private": _LISTED,
    "(--known-hosts, or ~/.ssh/known_hosts)": "(TUNESMITH_GIT_KNOWN_HOSTS)",
    "--ssh-key": "TUNESMITH_GIT_SSH_KEY",
    "--known-hosts": "TUNESMITH_GIT_KNOWN_HOSTS",
    "--certificates": "TUNESMITH_GIT_CERTIFICATES",
    "--network": "TUNESMITH_GIT_HOSTS",
    "--revision": "codebaseSource.revision",
    "--since": "codebaseSource.since",
    "REPO": "codebaseSource.repository",
    "--licence-policy": "options.licencePolicy",
    "--limit": "options.rules",
    "--include": "options.include",
    "--exclude": "options.exclude",
    "--kinds": "options.kinds",
    "--split": "options.splitBy",
    "--evaluation-rows": "options.evaluationRows",
    "--max-rows": "options.mostRows",
    "--row-characters": "options.rowCharacters",
    "--context-characters": "options.contextCharacters",
    "--suite": "options.suites",
    "--seed": "options.seed",
}
_ANY = re.compile("|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" for word in sorted(_WORDS, key=len, reverse=True)))


def in_service_words(error: TunesmithError, places: Mapping[str, str] | None = None) -> TunesmithError:
    """The same error for a client of the service.

    places  paths of this machine, and the URIs by which the client knows what lies there
    """

    def said(text: str) -> str:
        for path, uri in (places or {}).items():
            text = text.replace(path, uri)
        return _ANY.sub(lambda found: _WORDS[found.group()], text)

    if isinstance(error, InvalidArgument) and error.violations:
        return InvalidArgument.of_all([Violation(said(v.field), said(v.message)) for v in error.violations])
    return type(error)(said(error.message), **error.details)
