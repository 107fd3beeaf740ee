"""Licences as SPDX expressions: one spelling, names that people write, and policies."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase import spdx
from tunesmith.data.codebase.spdx import all_of, allowed, any_of, canonical, ids_of, named, policy_of, reason_of
from tunesmith.errors import InvalidArgument

PERMISSIVE = policy_of("permissive")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("apache-2.0", "Apache-2.0"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("lgpl-2.1+", "LGPL-2.1-or-later"),
        ("AGPL-3.0", "AGPL-3.0-only"),
        ("GPL-2.0-with-classpath-exception", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL-3.0-with-GCC-exception", "GPL-3.0-only WITH GCC-exception-2.0"),
        ("MIT or Apache-2.0", "MIT OR Apache-2.0"),
        ("(MIT AND ISC) OR Zlib", "(MIT AND ISC) OR Zlib"),
        ("MIT AND (ISC AND MIT)", "MIT AND ISC"),
        ("Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception"),
        ("LicenseRef-Ours", "LicenseRef-Ours"),
        ("Ours", "LicenseRef-Unknown"),
        ("MIT AND Ours", "MIT AND LicenseRef-Unknown"),
        ("Ours WITH LLVM-exception", "LicenseRef-Unknown"),
        ("", ""),
        ("(MIT", ""),
        ("MIT AND", ""),
        ("()", ""),
        ("( OR .+)", ""),
        ("MIT) OR (ISC", ""),
        ("MIT ISC", ""),
        ("{license}", ""),
        ("MIT " * 500, ""),
    ],
)
def test_expressions_are_spelled_as_spdx_spells_them(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize("name", [spdx.UNIDENTIFIED, spdx.PROPRIETARY, spdx.PUBLIC_DOMAIN, spdx.SOME_BSD])
def test_names_of_ours_mean_nothing_else(name: str) -> None:
    assert canonical(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT License", "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("BSD", "LicenseRef-BSD"),
        ("BSD License", "LicenseRef-BSD"),
        ("BSD 3-Clause", "BSD-3-Clause"),
        ("3-Clause BSD License", "BSD-3-Clause"),
        ("New BSD", "BSD-3-Clause"),
        ("Simplified BSD", "BSD-2-Clause"),
        ("Apache Software License", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("Apache2", "Apache-2.0"),
        ("GPLv2", "GPL-2.0-only"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("GPL v2 or later", "GPL-2.0-or-later"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", "LGPL-2.0-or-later"),
        ("GNU Library or Lesser General Public License (LGPL)", "LGPL-2.0-or-later"),
        ("GNU Affero General Public License v3", "AGPL-3.0-only"),
        ("GPL", "GPL-1.0-or-later"),
        ("GPL-7", "LicenseRef-Unknown"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
        ("Eclipse Public License - v 2.0", "EPL-2.0"),
        ("EUPL 1.2", "EUPL-1.2"),
        ("Python Software Foundation License", "PSF-2.0"),
        ("ISC License (ISCL)", "ISC"),
        ("The Unlicense", "Unlicense"),
        ("CC0", "CC0-1.0"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA-4.0"),
        ("Creative Commons Attribution 4.0 International", "CC-BY-4.0"),
        ("Public Domain", "LicenseRef-Public-Domain"),
        ("Other/Proprietary License", "LicenseRef-Proprietary"),
        ("UNLICENSED", "LicenseRef-Proprietary"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("MIT, BSD", "MIT AND LicenseRef-BSD"),
        ("Apache 2.0 and MIT", "Apache-2.0 AND MIT"),
        ("http://opensource.org/licenses/MIT MIT", "MIT"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("https://www.gnu.org/licenses/gpl-3.0.html", "GPL-3.0-only"),
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("https://example.org/ours", "LicenseRef-Unknown"),
        ("BSL", "LicenseRef-Unknown"),  # Boost's or the Business Source License
        ("ours alone", "LicenseRef-Unknown"),
        ("  ", ""),
    ],
)
def test_names_that_people_write_are_known(text: str, expected: str) -> None:
    assert named(text) == expected


@given(st.text(max_size=200))
def test_every_name_is_an_expression_or_nothing(text: str) -> None:
    found = named(text)
    assert canonical(found) == found


@given(st.text("MIT ()ANDORWH+-.0:/", max_size=60))
def test_spelling_twice_is_spelling_once(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


def test_nesting_without_end_is_no_expression() -> None:
    assert canonical("(" * 240 + "MIT" + ")" * 240) in ("MIT", "")
    assert canonical("(" * 100_000) == ""


def test_joining_says_each_licence_once_and_keeps_what_belongs_together() -> None:
    assert all_of(["MIT", "", "ISC", "MIT"]) == "MIT AND ISC"
    assert all_of(["MIT OR ISC", "Zlib"]) == "(MIT OR ISC) AND Zlib"
    assert all_of(["MIT AND ISC", "Zlib", "ISC"]) == "MIT AND ISC AND Zlib"
    assert any_of(["MIT AND ISC", "Zlib"]) == "(MIT AND ISC) OR Zlib"
    assert all_of(["MIT OR ISC"]) == "MIT OR ISC"
    assert all_of([]) == ""


def test_licences_of_an_expression_are_named_without_exceptions() -> None:
    assert ids_of("(MIT OR GPL-2.0-only WITH Classpath-exception-2.0) AND ISC") == {"MIT", "GPL-2.0-only", "ISC"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-3.0-only OR ISC)", True),
        ("(MIT AND GPL-3.0-only) OR AGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("LicenseRef-BSD", True),
        ("LicenseRef-Unknown", False),
        ("LicenseRef-Proprietary", False),
        ("SSPL-1.0", False),
        ("CC-BY-NC-4.0", False),
        ("JSON", False),
        ("LGPL-2.1-only", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_permissive_needs_one_side_of_a_choice_and_all_of_a_sum(expression: str, expected: bool) -> None:
    assert allowed(expression, PERMISSIVE) is expected


def test_every_permissive_licence_is_one_to_others_too() -> None:
    index = spdx._licensing().known_symbols
    ours = {name for name in spdx.PERMISSIVE | spdx.WEAK_COPYLEFT if not name.startswith("LicenseRef-")}
    assert sorted(ours - set(index)) == []
    assert spdx.PERMISSIVE.isdisjoint(spdx.WEAK_COPYLEFT)


def test_any_allows_even_what_nobody_states() -> None:
    assert allowed("unknown", policy_of("any"))
    assert allowed("SSPL-1.0", policy_of(" Any "))


def test_a_list_allows_what_it_names_and_nothing_else() -> None:
    policy = policy_of("mit, GPL-2.0+")
    assert allowed("MIT", policy)
    assert allowed("GPL-2.0-or-later", policy)
    assert not allowed("ISC", policy)
    assert not allowed("GPL-2.0-only", policy)


def test_names_of_policies_may_stand_in_a_list() -> None:
    policy = policy_of("permissive,MPL-2.0,unknown")
    assert [allowed(one, policy) for one in ("ISC", "MPL-2.0", "unknown", "LGPL-3.0-only", "LicenseRef-Unknown")] == [
        True, True, True, False, False
    ]  # fmt: skip
    assert allowed("LGPL-3.0-only", policy_of("weak-copyleft"))
    assert not allowed("GPL-3.0-only", policy_of("weak-copyleft"))


def test_or_later_lets_one_choose_a_later_version() -> None:
    assert allowed("GPL-2.0-or-later", policy_of("GPL-3.0-only"))
    assert not allowed("GPL-3.0-or-later", policy_of("GPL-2.0-only"))
    assert not allowed("LGPL-2.1-or-later", policy_of("GPL-3.0-only"))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("MITT", "(is it MIT?)"),
        ("Apache 2", "(is it Apache-2.0?)"),
        ("GPLv3", "(is it GPL-3.0-only?)"),
        ("premissive", "(is it permissive?)"),
        ("MIT,apache2.0", "(is it Apache-2.0?)"),
        ("zzzzzzzzzzzz", "'zzzzzzzzzzzz' is no SPDX licence id; give any, or"),
        ("MIT OR ISC", "give any, or a comma list"),
        ("", "no licence in ''"),
        (" , ", "no licence in"),
    ],
)
def test_a_policy_that_names_no_licence_is_refused_with_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        policy_of(text)
    assert caught.value.violations[0].field == "licence-policy"
    assert hint in caught.value.message


@pytest.mark.parametrize(
    ("expression", "policy", "reason"),
    [
        ("MIT", "permissive", ""),
        ("GPL-3.0-only", "permissive", "licence-not-allowed"),
        ("unknown", "permissive", "licence-unknown"),
        ("LicenseRef-Unknown", "permissive", "licence-unknown"),
        ("MIT AND LicenseRef-Unknown", "permissive", "licence-unknown"),
        ("GPL-3.0-only AND LicenseRef-Unknown", "permissive", "licence-not-allowed"),
        ("LicenseRef-Unknown", "LicenseRef-Unknown", ""),
        ("unknown", "unknown", ""),
    ],
)
def test_what_is_left_out_says_why(expression: str, policy: str, reason: str) -> None:
    assert reason_of(expression, policy_of(policy)) == reason
    assert not reason or reason in spdx.REASONS


def test_policies_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(PERMISSIVE)) == PERMISSIVE
