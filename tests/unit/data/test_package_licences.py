"""The licence that a package's own description states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.package_licences import in_description, is_description

POM = """<project><name>Apache License 2.0</name><licenses>
<license><name>The MIT License</name><url>https://example.org</url></license>
<license><name>Odd one</name><url>https://www.apache.org/licenses/LICENSE-2.0</url></license></licenses></project>"""


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("pyproject.toml", '[project]\nlicense = "MIT OR Apache-2.0"\n', "MIT OR Apache-2.0"),
        ("pyproject.toml", '[project]\nlicense = {text = "BSD 3-Clause"}\n', "BSD-3-Clause"),
        ("pyproject.toml", '[project.license]\ntext = "ISC"\n', "ISC"),
        ("pyproject.toml", '[project]\nlicense = {file = "LICENSE"}\n', ""),
        ("pyproject.toml", '[project]\nclassifiers = [\n  "License :: OSI Approved :: MIT License",\n]\n', "MIT"),
        ("pyproject.toml", '[tool.poetry]\nlicense = "GPL-2.0+"\n', "GPL-2.0-or-later"),
        ("pyproject.toml", '[tool.other]\nlicense = "MIT"\n', ""),
        ("pyproject.toml", '[project]\nname = "broken\nlicense = "MIT"\n', "MIT"),
        ("pyproject.toml", '[project]\r\nlicense = "MIT"\r\n[tool.x]\r\na = 1\r\n', "MIT"),
        ("setup.cfg", "[other]\nlicense = ISC\n[metadata]\nname = a\nlicense = MIT\n", "MIT"),
        ("setup.cfg", "[metadata]\nclassifiers =\n  License :: OSI Approved :: BSD License\n", "LicenseRef-BSD"),
        ("setup.py", "setup(name='a', license='LGPLv3+')", "LGPL-3.0-or-later"),
        ("setup.py", "setup(license=open('x').read(), classifiers=['License :: OSI Approved :: MIT License'])", "MIT"),
        ("package.json", '{"license": "(MIT OR GPL-3.0)"}', "MIT OR GPL-3.0-only"),
        ("package.json", '{"license": {"type": "MIT", "url": "x"}}', "MIT"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "GPLv2"}]}', "MIT OR GPL-2.0-only"),
        ("package.json", '{"license": "UNLICENSED"}', "LicenseRef-Proprietary"),
        ("package.json", '{"license": "SEE LICENSE IN ours.txt"}', ""),
        ("package.json", '{"license": 7}', ""),
        ("package.json", '{"license": "MIT"', ""),
        ("package.json", "[" * 100_000, ""),
        ("composer.json", '{"license": ["LGPL-2.1-only", "GPL-3.0-or-later"]}', "LGPL-2.1-only OR GPL-3.0-or-later"),
        ("composer.json", '{"license": "proprietary"}', "LicenseRef-Proprietary"),
        ("Cargo.toml", '[package]\nname = "a"\nlicense = "MIT/Apache-2.0"\n', "MIT OR Apache-2.0"),
        ("Cargo.toml", '[package]\nlicense.workspace = true\n[workspace.package]\nlicense = "ISC"\n', "ISC"),
        ("Cargo.toml", '[dependencies.a]\nlicense = "MIT"\n', ""),
        ("x.gemspec", "s.license = 'MIT'\n", "MIT"),
        ("x.gemspec", "spec.licenses = ['Ruby', \"BSD-2-Clause\"]\n", "Ruby AND BSD-2-Clause"),
        ("x.gemspec", "spec.licenses = %w[MIT]\n", "MIT"),
        ("pom.xml", POM, "MIT OR Apache-2.0"),
        ("pom.xml", "<project><name>MIT</name></project>", ""),
        ("a.csproj", "<PackageLicenseExpression>MIT</PackageLicenseExpression>", "MIT"),
        ("PKG-INFO", "Metadata-Version: 2.4\nLicense: x\nLicense-Expression: mit\n", "MIT"),
        (
            "PKG-INFO",
            "Name: a\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n\nLicense: x",
            "MIT",
        ),
        ("PKG-INFO", "Name: a\n\nLicense: MIT\n", ""),
        ("a-1.dist-info/METADATA", "License: Apache 2.0\n", "Apache-2.0"),
        ("DESCRIPTION", "Package: a\nLicense: GPL (>= 2)\n", "GPL-2.0-or-later"),
        ("DESCRIPTION", "Package: a\nLicense: MIT + file LICENSE\n", "MIT"),
        ("DESCRIPTION", "Package: a\nLicense: GPL-2 | GPL-3\n", "GPL-2.0-only OR GPL-3.0-only"),
        ("pyproject.toml", '[project]\nlicense = "only on Sundays"\n', "LicenseRef-Unknown"),
    ],
)
def test_what_a_description_states_is_read(path: str, text: str, expected: str) -> None:
    assert is_description(path)
    assert in_description(path, text) == expected


def test_a_field_that_holds_a_whole_licence_is_read_as_one() -> None:
    text = """Name: a
License: Ours, which is long.
 Permission is hereby granted, free of charge, to any person
 obtaining a copy of this software. The above copyright notice and this
 permission notice shall be included.
"""
    assert in_description("PKG-INFO", text) == "MIT"


def test_nothing_in_a_description_is_an_entity_or_code() -> None:
    bomb = (
        '<!DOCTYPE a [<!ENTITY b "MIT"><!ENTITY c "&b;&b;">]><licenses><license><name>&c;</name></license></licenses>'
    )
    assert in_description("pom.xml", bomb) == "LicenseRef-Unknown"


@given(st.sampled_from(["pyproject.toml", "setup.cfg", "package.json", "pom.xml", "x.gemspec", "PKG-INFO"]), st.text())
def test_no_text_breaks_the_reading(path: str, text: str) -> None:
    in_description(
        path, f"[project]\nlicense = {text}\n[metadata]\nlicense = {text}\nLicense: {text}\n<licenses>{text}"
    )


@pytest.mark.parametrize(
    "piece",
    ["[project]\n", "[project]\nlicense.", "a.", "license = ", "<license><name>", "[metadata]\n", "License: x\n ",
     "License :: ", ".license = ["],
)  # fmt: skip
def test_hostile_descriptions_end(piece: str) -> None:
    # A pattern that goes over the text again and again would run into the time limit of the tests.
    for path in ("pyproject.toml", "setup.cfg", "setup.py", "package.json", "pom.xml", "x.gemspec", "PKG-INFO"):
        in_description(path, "[project]\n" + piece * (1_048_576 // len(piece)))
