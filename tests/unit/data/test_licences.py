"""Which licence a file is under: nearest wins, contradictions both hold, and what nobody states is unknown."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tunesmith.data.codebase.licences import NO_LICENCE, Licence, Licences, may_matter, of_licence_file
from tunesmith.data.codebase.spdx import allowed, policy_of

MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software, subject to:
The above copyright notice and this permission notice shall be included in all copies."""
GPL_3 = "GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007\n\nEveryone is permitted to copy.\n"
LGPL_3 = "GNU LESSER GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007\n"
APACHE = "Apache License\n  Version 2.0, January 2004\n  http://www.apache.org/licenses/\n"
BSD_2 = """Redistribution and use in source and binary forms are permitted provided that: 1. Redistributions of source
code must retain this notice. 2. Redistributions in binary form must reproduce it."""
OWN = "Everybody whom the chair of the club likes may read this text on Sundays, and nobody else may. " * 9


def licensed(texts: dict[str, str], path: str = "a.py", stated: str = "") -> Licence:
    return Licences(texts).of(path, stated)


def test_what_nobody_states_is_unknown_and_has_no_source() -> None:
    assert licensed({}) == NO_LICENCE == Licence("unknown", "")
    assert licensed({"LICENSE": ""}, "src/a.py") == NO_LICENCE


def test_a_file_in_a_deep_folder_has_the_licence_of_the_root() -> None:
    assert licensed({"LICENSE": MIT}, "src/deep/down/a.py") == Licence("MIT", "LICENSE")


def test_a_file_that_says_gpl_in_an_mit_tree_is_under_the_gpl() -> None:
    assert licensed({"LICENSE": MIT}, "src/a.c", "GPL-2.0-only") == Licence("GPL-2.0-only", "src/a.c")


def test_an_mit_folder_in_a_gpl_tree_is_mit_and_its_siblings_are_not() -> None:
    licences = Licences({"COPYING": GPL_3, "lib/json/LICENSE.txt": MIT})
    assert licences.of("lib/json/src/a.c", "") == Licence("MIT", "lib/json/LICENSE.txt")
    assert licences.of("lib/jsonx/a.c", "") == Licence("GPL-3.0-only", "COPYING")
    assert licences.of("lib/a.c", "") == Licence("GPL-3.0-only", "COPYING")


def test_a_licence_file_below_or_beside_does_not_count() -> None:
    assert licensed({"src/LICENSE": MIT, "src/b/LICENSE": MIT}, "lib/a.py") == NO_LICENCE


def test_the_nearest_statement_counts_though_it_is_only_a_package_description() -> None:
    texts = {"LICENSE": MIT, "web/package.json": '{"license": "GPL-3.0-or-later"}'}
    assert licensed(texts, "web/src/a.js") == Licence("GPL-3.0-or-later", "web/package.json")


INSTALLED = {
    "lib/net-1.0.dist-info/METADATA": "Name: net\nLicense-Expression: BSD-3-Clause\n\nNet.",
    "lib/net-1.0.dist-info/RECORD": 'net/__init__.py,sha256=x,1\n"net/a,b.py",,\n../other/a.py,,\n/etc/a.py,,\n',
}


def test_a_file_of_an_installed_package_is_under_what_is_stated_beside_it() -> None:
    licences = Licences(INSTALLED)
    for path in ("lib/net/__init__.py", "lib/net/a,b.py"):
        assert licences.of(path, "") == Licence("BSD-3-Clause", "lib/net-1.0.dist-info/METADATA")
    assert licences.of("lib/net/__init__.py", "MIT").expression == "MIT"
    assert licences.of("lib/net/__init__.py", "LicenseRef-BSD").expression == "BSD-3-Clause"


def test_a_package_states_nothing_on_files_that_it_does_not_list_or_that_lie_elsewhere() -> None:
    licences = Licences(INSTALLED)
    for path in ("lib/net/new.py", "other/a.py", "etc/a.py", "lib/etc/a.py", "lib/other/a.py"):
        assert licences.of(path, "") == NO_LICENCE


def test_a_folder_of_an_installed_package_may_state_another_licence_and_those_above_may_not() -> None:
    texts = INSTALLED | {"lib/LICENSE": GPL_3}
    assert licensed(texts, "lib/net/__init__.py").expression == "BSD-3-Clause"
    assert licensed(texts, "lib/net/new.py").expression == "GPL-3.0-only"
    assert licensed(texts | {"lib/net/LICENSE": MIT}, "lib/net/__init__.py").expression == "MIT"


def test_a_file_that_two_installed_packages_list_is_under_both_licences() -> None:
    two = {"lib/b.dist-info/METADATA": "Name: b\nLicense: MIT\n", "lib/b.dist-info/RECORD": "net/__init__.py,,\n" * 9}
    assert licensed(INSTALLED | two, "lib/net/__init__.py").expression == "MIT AND BSD-3-Clause"


def test_a_list_of_files_that_is_none_lists_nothing() -> None:
    texts = INSTALLED | {"lib/net-1.0.dist-info/RECORD": '"' + "x" * 200_000}
    assert licensed(texts, "lib/net/__init__.py") == NO_LICENCE


def test_licence_mit_beside_licence_apache_is_a_choice() -> None:
    texts = {"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}
    assert licensed(texts) == Licence("Apache-2.0 OR MIT", "LICENSE-APACHE and LICENSE-MIT")


def test_variants_of_which_one_is_copyleft_all_hold() -> None:
    # COPYING.GPL and COPYING.MIT: nobody says whether one may choose or parts differ.
    assert licensed({"COPYING.GPL3": GPL_3, "COPYING.MIT": MIT}).expression == "GPL-3.0-only AND MIT"


def test_the_lesser_gpl_beside_the_gpl_that_it_adds_to_is_the_lesser_gpl() -> None:
    assert licensed({"COPYING": GPL_3, "COPYING.LESSER": LGPL_3}).expression == "LGPL-3.0-only"


def test_file_and_description_that_agree_are_one_licence_of_the_file() -> None:
    assert licensed({"LICENSE": MIT, "package.json": '{"license": "MIT"}'}) == Licence("MIT", "LICENSE")


def test_file_and_description_that_contradict_each_other_both_hold() -> None:
    found = licensed({"LICENSE": MIT, "package.json": '{"license": "GPL-3.0-only"}'})
    assert found == Licence("MIT AND GPL-3.0-only", "LICENSE and package.json")
    assert not allowed(found.expression, policy_of("permissive"))


@pytest.mark.parametrize(
    ("text", "stated", "expected"),
    [
        (GPL_3, "GPL-3.0-or-later", "GPL-3.0-or-later"),  # the text leaves it open
        (GPL_3, "GPL", "GPL-3.0-only"),
        (BSD_2, "BSD", "BSD-2-Clause"),
        (MIT, "MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        (MIT + APACHE, "MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        (MIT, "MIT AND BSD-2-Clause", "MIT AND BSD-2-Clause"),
        (MIT, "see LICENSE", "MIT"),
        (MIT, "whatever we like", "MIT"),
        (OWN, "MIT", "LicenseRef-Unknown AND MIT"),
    ],
)
def test_the_more_exact_statement_counts(text: str, stated: str, expected: str) -> None:
    assert licensed({"LICENSE": text, "pyproject.toml": f'[project]\nlicense = "{stated}"\n'}).expression == expected


def test_bsd_by_name_alone_is_what_the_licence_file_says_it_is() -> None:
    assert licensed({"LICENSE": BSD_2}, "a.py", "LicenseRef-BSD") == Licence("BSD-2-Clause", "LICENSE")
    assert licensed({"LICENSE": GPL_3}, "a.py", "LicenseRef-BSD") == Licence("LicenseRef-BSD", "a.py")
    assert licensed({}, "a.py", "LicenseRef-BSD") == Licence("LicenseRef-BSD", "a.py")


def test_a_licence_of_somebodys_own_is_named_as_not_identified() -> None:
    assert licensed({"LICENSE": OWN}) == Licence("LicenseRef-Unknown", "LICENSE")


def test_what_is_called_after_something_else_counts_only_alone() -> None:
    assert licensed({"LICENSE-jquery": GPL_3, "LICENSE": MIT}).expression == "MIT"
    assert licensed({"LICENSE-jquery": GPL_3}).expression == "GPL-3.0-only"


def test_a_notice_or_copyright_file_counts_only_where_nothing_else_does() -> None:
    assert licensed({"NOTICE": "This product includes software under the MIT license", "LICENSE": APACHE}) == Licence(
        "Apache-2.0", "LICENSE"
    )
    assert licensed({"COPYRIGHT": "Licensed under the MIT license"}).expression == "MIT"
    assert licensed({"NOTICE": "Copyright 2020 somebody"}) == NO_LICENCE


def test_a_folder_of_licences_counts_where_its_parent_says_nothing() -> None:
    assert licensed({"LICENSES/MIT.txt": "whatever"}, "src/a.py") == Licence("MIT", "LICENSES/MIT.txt")
    assert licensed({"LICENSES/MIT.txt": MIT, "LICENSES/GPL-3.0-only.txt": GPL_3}).expression == "GPL-3.0-only AND MIT"
    assert licensed({"LICENSES/GPL-3.0-only.txt": GPL_3, "LICENSE": MIT}).expression == "MIT"


def test_a_file_beside_a_file_says_what_that_is_under() -> None:
    texts = {"a.js.license": "SPDX-License-Identifier: ISC\n", "LICENSE": MIT}
    assert licensed(texts, "a.js", "GPL-2.0-only") == Licence("ISC", "a.js.license")
    assert licensed(texts, "b.js").expression == "MIT"


REUSE = """version = 1
[[annotations]]
path = ["src/**", "top.py"]
SPDX-License-Identifier = "Apache-2.0"

[[annotations]]
path = "src/gpl/*.c"
precedence = "override"
SPDX-License-Identifier = "GPL-2.0-or-later"

[[annotations]]
path = "both/**"
precedence = "aggregate"
SPDX-License-Identifier = ["ISC", "Zlib"]
"""


@pytest.mark.parametrize(
    ("path", "stated", "expected"),
    [
        ("src/a.py", "", "Apache-2.0"),
        ("src/deep/a.py", "", "Apache-2.0"),
        ("src/a.py", "ISC", "ISC"),
        ("top.py", "", "Apache-2.0"),
        ("other.py", "", "MIT"),
        ("x/src/a.py", "", "MIT"),
        ("src/gpl/a.c", "MIT", "GPL-2.0-or-later"),
        ("src/gpl/deep/a.c", "", "Apache-2.0"),
        ("both/a.c", "MIT", "MIT AND ISC AND Zlib"),
        ("both/a.c", "", "ISC AND Zlib"),
    ],
)
def test_annotations_of_reuse_say_what_files_are_under(path: str, stated: str, expected: str) -> None:
    assert licensed({"REUSE.toml": REUSE, "LICENSE": MIT}, path, stated).expression == expected


def test_annotations_name_the_files_that_they_are_read_from() -> None:
    licences = Licences({"lib/REUSE.toml": REUSE})
    assert licences.of("lib/both/a.c", "") == Licence("ISC AND Zlib", "lib/REUSE.toml")
    assert licences.of("lib/both/a.c", "MIT") == Licence("MIT AND ISC AND Zlib", "lib/both/a.c and lib/REUSE.toml")
    assert licences.of("both/a.c", "") == NO_LICENCE


def test_annotations_of_a_deeper_folder_count_more() -> None:
    inner = '[[annotations]]\npath = "**"\nSPDX-License-Identifier = "Zlib"\n'
    texts = {"REUSE.toml": REUSE, "src/REUSE.toml": inner}
    assert licensed(texts, "src/a.py") == Licence("Zlib", "src/REUSE.toml")
    assert licensed(texts, "top.py").expression == "Apache-2.0"


def test_the_older_form_of_annotations_is_read() -> None:
    text = (
        "Format: x\n\nFiles: doc/* *.svg\n b.c\nCopyright: me\nLicense: CC-BY-4.0\n\n"
        "Files: c.c\nLicense: Odd words\n\nFiles: d.c\n"
    )
    licences = Licences({".reuse/dep5": text})
    assert [licences.of(path, "").expression for path in ("doc/x/a.md", "i/a.svg", "b.c", "c.c", "d.c")] == [
        "CC-BY-4.0", "CC-BY-4.0", "CC-BY-4.0", "LicenseRef-Unknown", "unknown"
    ]  # fmt: skip


def test_many_stars_cost_no_more_than_a_few() -> None:
    text = f'[[annotations]]\npath = "{"*a" * 200}b"\nSPDX-License-Identifier = "MIT"\n'
    assert licensed({"REUSE.toml": text}, "a" * 400) == NO_LICENCE


@pytest.mark.parametrize(
    "path",
    ["LICENSE", "licence.md", "a/COPYING", "LICENSE-MIT", "LICENSE.APACHE2", "UNLICENSE", "MIT-LICENSE.txt", "NOTICE",
     "COPYING.LESSER", "COPYING3", "LICENSE_1_0.txt", "LICENSES/MIT.txt", "pyproject.toml", "setup.cfg", "setup.py",
     "package.json", "Cargo.toml", "composer.json", "x.gemspec", "pom.xml", "DESCRIPTION", "PKG-INFO", "REUSE.toml",
     ".reuse/dep5", "a.c.license", "x-1.dist-info/METADATA", "LICENSE.html", "License.rst", "x.csproj"],
)  # fmt: skip
def test_files_that_may_state_a_licence_are_asked_for(path: str) -> None:
    assert may_matter(path)


@pytest.mark.parametrize(
    "path",
    ["a.py", "license.py", "licences.go", "license.json", "LICENSE.pdf", "THIRD-PARTY-LICENSES", "METADATA",
     "3rdpartylicenses.txt", "LICENSES_bundled.txt", "README.md", "description", "docs/copying-files.py", "licensed.c",
     "package-lock.json", ".license"],
)  # fmt: skip
def test_other_files_are_not(path: str) -> None:
    assert not may_matter(path)


def test_pages_are_read_without_their_markup() -> None:
    page = "<p><b>Apache</b> License</p>\n<p>Version 2.0, <i>January</i> 2004</p>"
    assert of_licence_file("LICENSE.html", page) == "Apache-2.0"


def test_our_own_licence_is_the_one_that_our_package_states() -> None:
    root = Path(__file__).parents[3]
    texts = {name: (root / name).read_text("utf-8") for name in ("LICENSE", "pyproject.toml")}
    assert [of_licence_file(name, text) for name, text in texts.items()] == ["Apache-2.0", "Apache-2.0"]
    assert licensed(texts, "src/tunesmith/cli.py") == Licence("Apache-2.0", "LICENSE")


def test_the_order_of_the_texts_changes_nothing() -> None:
    texts = {"LICENSE": MIT, "package.json": '{"license": "GPL-3.0-only"}', "setup.py": 'setup(license="ISC")'}
    assert licensed(texts) == licensed(dict(reversed(texts.items())))


def test_licences_travel_between_processes() -> None:
    licences = Licences({"LICENSE": MIT, "REUSE.toml": REUSE})
    again = pickle.loads(pickle.dumps(licences))
    assert again.of("src/a.py", "") == licences.of("src/a.py", "")
