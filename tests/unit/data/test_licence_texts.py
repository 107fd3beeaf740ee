"""Which licence a text states, in a head's words and in whole licences, however wrapped and marked."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.codebase.licence_texts import in_licence, in_text
from tunesmith.data.codebase.spdx import canonical

FSF = "it under the terms of the GNU {} as published by the Free Software Foundation"
LATER = "either version {} of the License, or (at your option) any later version."
NO_WARRANTY = "This program comes without any warranty. See the GNU General Public License for more details."
APACHE = 'Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except so.'
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files, to deal in it, subject to the following: The above copyright notice and this permission
notice shall be included in all copies."""
BSD = """Redistribution and use in source and binary forms, with or without modification, are permitted provided that:
1. Redistributions of source code must retain the above notice.
2. Redistributions in binary form must reproduce it."""
ENDORSE = "\n3. Neither the name of the club nor the names of its members may be used to endorse or promote products."
ISC = (
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is "
    "hereby granted"
)
PROVIDED = ", provided that the above copyright notice and this permission notice appear in all copies."
ZLIB = "In no event will the authors be liable. Altered source versions must be plainly marked as such."

CODE = "\n\ndef area(width, height):\n    return width * height\n"


def head(text: str, mark: str = "# ") -> str:
    return textwrap.indent(text, mark) + CODE


@pytest.mark.parametrize(
    "line",
    ["# {}", "// {}", "/* {} */", " * {}", "-- {}", "<!-- {} -->", '"""{}"""', "; {}", "% {}", "{{- {} -}}", "(* {} *)",
     "{}", "#!/bin/sh\n# {}", "# Copyright 2020 us  {}", "<?php\n// {}", "/*! x 1.0 | {} */", "#\t{}\r"],
)  # fmt: skip
def test_tags_are_read_in_every_style_of_comment(line: str) -> None:
    assert in_text(line.format("SPDX-License-Identifier: MIT") + CODE) == "MIT"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("gpl-2.0", "GPL-2.0-only"),
        ("(MIT OR Apache-2.0)", "MIT OR Apache-2.0"),
        ("GPL-2.0 WITH Linux-syscall-note", "GPL-2.0-only WITH Linux-syscall-note"),
        ("MIT.", "MIT"),
        ("MIT (see LICENSE)", "MIT"),
        ("LicenseRef-Ours", "LicenseRef-Ours"),
        ("Ours-1.0", "LicenseRef-Unknown"),
        ("MIT AND Ours", "MIT AND LicenseRef-Unknown"),
        ("MIT &&& !!", "MIT"),
        ("?", "LicenseRef-Unknown"),
    ],
)
def test_the_value_of_a_tag_is_made_an_expression(value: str, expected: str) -> None:
    assert in_text(f"// SPDX-License-Identifier: {value}\n{CODE}") == expected


def test_several_tags_all_hold() -> None:
    assert in_text("# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: ISC\n") == "MIT AND ISC"


def test_a_tag_counts_more_than_words() -> None:
    assert in_text(f"# SPDX-License-Identifier: ISC\n# {APACHE}\n") == "ISC"


def test_a_tag_at_the_end_of_a_long_file_is_found() -> None:
    assert in_text("x = 1\n" * 5000 + "# SPDX-License-Identifier: MIT\n") == "MIT"
    assert in_text("x = 1\n" * 5000 + "# SPDX-License-Identifier: MIT\n" + "x = 1\n" * 5000) == ""


@pytest.mark.parametrize(
    "line",
    ['TAG = "SPDX-License-Identifier: MIT"',
     "print('SPDX-License-Identifier: MIT')", "# SPDX-License-Identifier: {name}",
     "# SPDX-License-Identifier: <id>", "#  SPDX-License-Identifier: %s"],
)  # fmt: skip
def test_a_tag_that_the_code_speaks_of_is_none(line: str) -> None:
    assert in_text(line + CODE) == ""


NOTICES = [
    (APACHE, "Apache-2.0"),
    ("Licensed under the Apache License v2.0 with LLVM Exceptions.\nSee the LLVM exceptions to the Apache 2.0 License",
     "Apache-2.0 WITH LLVM-exception"),
    (FSF.format("General Public License") + "; " + LATER.format(2) + NO_WARRANTY, "GPL-2.0-or-later"),
    (FSF.format("General Public License") + ", " + LATER.format(3) + NO_WARRANTY, "GPL-3.0-or-later"),
    (FSF.format("General Public License") + "; version 2 of the License.", "GPL-2.0-only"),
    (FSF.format("General Public License version 2") + ".", "GPL-2.0-only"),
    ("under the terms of version 2 of the GNU General Public License as published by us", "GPL-2.0-only"),
    ("under version 3 or later of the GNU Affero General Public License", "AGPL-3.0-or-later"),
    (FSF.format("Lesser General Public License") + "; " + LATER.format("2.1"), "LGPL-2.1-or-later"),
    (FSF.format("Library General Public License") + "; " + LATER.format("2"), "LGPL-2.0-or-later"),
    (FSF.format("Affero General Public License") + ", " + LATER.format(3), "AGPL-3.0-or-later"),
    ("This may be used under the terms of the GNU General Public License.", "GPL-1.0-or-later"),
    ("Licensed under the GPL v2 or later.", "GPL-2.0-or-later"),
    ("Released under GPLv3.", "GPL-3.0-only"),
    (FSF.format("General Public License") + ", " + LATER.format(2) + " Linking this library statically or dynamically "
     "with other modules is making a combined work.", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
    ("This Source Code Form is subject to the terms of the Mozilla Public\nLicense, v. 2.0.", "MPL-2.0"),
    ("The contents of this file are subject to the Mozilla Public License Version 1.1. Alternatively, it may be "
     "used under the terms of either the GNU General Public License Version 2 or later (the GPL), or the GNU Lesser "
     "General Public License Version 2.1 or later (the LGPL)", "MPL-1.1 OR GPL-2.0-or-later OR LGPL-2.1-or-later"),
    ("made available under the terms of the Eclipse Public License v1.0 which accompanies it", "EPL-1.0"),
    ("made available under the terms of the Eclipse Public License 2.0 which is at", "EPL-2.0"),
    ("Distributed under the Boost Software License, Version 1.0.", "BSL-1.0"),
    ("Licensed under the EUPL, Version 1.2 or later", "EUPL-1.2"),
    ("Licensed under the MIT license.", "MIT"),
    ("Use of this source code is governed by the MIT license.", "MIT"),
    ("This file is released under the 3-clause BSD license.", "BSD-3-Clause"),
    ("Dual licensed under the MIT or GPL Version 2 licenses.", "MIT OR GPL-2.0-only"),
    ("Licensed under either of Apache License, Version 2.0 or MIT license at your option.", "Apache-2.0 OR MIT"),
    ("Licensed under the Elastic License 2.0 and the Server Side Public License, v 1; at your election, either is",
     "Elastic-2.0 OR SSPL-1.0"),
    ("This file has been placed in the public domain.", "LicenseRef-Public-Domain"),
    (MIT, "MIT"),
    (BSD, "BSD-2-Clause"),
    (BSD + ENDORSE, "BSD-3-Clause"),
    (ISC + PROVIDED, "ISC"),
    (ISC, "0BSD"),
    (ZLIB, "Zlib"),
    ("foo.js 1.0.2 | (c) 2020 us | MIT License", "MIT"),
    ("Licensed under the Chair's License. You may obtain a copy at the club.", "LicenseRef-Unknown"),
    ("Copyright 2020 us. All rights reserved.\nProprietary and confidential.", "LicenseRef-Proprietary"),
    ("Unauthorized copying of this file, via any medium, is strictly prohibited.", "LicenseRef-Proprietary"),
    ("License: BSD, see LICENSE for details.", "LicenseRef-BSD"),
    ("@license Apache-2.0", "Apache-2.0"),
    ("@license   http://opensource.org/licenses/MIT MIT", "MIT"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NOTICES)
def test_notices_are_read_by_their_words(text: str, expected: str) -> None:
    assert in_text(head(text)) == expected


@pytest.mark.parametrize(("text", "expected"), NOTICES)
@pytest.mark.parametrize("mark", [" * ", "// ", "# "])
def test_neither_wrapping_nor_marks_nor_case_change_what_a_notice_says(text: str, expected: str, mark: str) -> None:
    if "icense:" in text or "@" in text:
        return  # fields, which are lines
    wrapped = textwrap.fill(" ".join(text.split()), 34).upper()
    opened = "/*\n" if mark == " * " else ""
    assert in_text(opened + textwrap.indent(wrapped, mark) + CODE) == expected


@pytest.mark.parametrize(
    "text",
    ["Copyright 2020 us. All rights reserved.",
     "Use of this source code is governed by a BSD-style license that can be found in the LICENSE file.",
     "This source code is licensed under the BSD-style license found in the LICENSE file in the root.",
     "Distributed under the same license as the club itself.",
     "See LICENSE for details.",
     "Reads what is under the license of the caller, and runs under BSD and Apache.",
     "Checks licences of packages; the licence is compatible with the MIT License.",
     NO_WARRANTY],
)  # fmt: skip
def test_what_points_elsewhere_or_says_nothing_is_nothing(text: str) -> None:
    assert in_text(head(text)) == ""


def test_words_in_code_are_no_notice() -> None:
    assert in_text(f'NOTICE = "{APACHE}"\nOTHER = ["Licensed under the MIT license"]\n') == ""
    assert in_text(f'"""{APACHE}"""\n') == "Apache-2.0"


def test_comments_end_where_they_are_closed() -> None:
    assert in_text(f'/* Of areas.\n * Closed here. */\nchar *notice =\n"{APACHE}";\n') == ""
    assert in_text(f'/* Of areas. */\nchar *notice =\n"{APACHE}";\n/*\n{MIT}\n*/\n') == "MIT"


def test_a_name_that_python_gives_is_read() -> None:
    assert in_text('"""Of areas."""\n\n__license__ = "BSD-3-Clause"\n') == "BSD-3-Clause"


def test_words_far_from_the_head_are_not_looked_at() -> None:
    assert in_text("x = 1\n" * 500 + head(APACHE)) == ""


def titled(*lines: str) -> str:
    return "\n".join(f"    {line}" for line in lines) + "\n\n" + "And all the rest of it. " * 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (titled("Apache License", "Version 2.0, January 2004"), "Apache-2.0"),
        (titled("GNU GENERAL PUBLIC LICENSE", "Version 2, June 1991"), "GPL-2.0-only"),
        (titled("GNU GENERAL PUBLIC LICENSE", "Version 3, 29 June 2007"), "GPL-3.0-only"),
        (titled("GNU LIBRARY GENERAL PUBLIC LICENSE", "Version 2, June 1991"), "LGPL-2.0-only"),
        (titled("GNU LESSER GENERAL PUBLIC LICENSE", "Version 2.1, February 1999"), "LGPL-2.1-only"),
        (titled("GNU LESSER GENERAL PUBLIC LICENSE", "Version 3, 29 June 2007"), "LGPL-3.0-only"),
        (titled("GNU AFFERO GENERAL PUBLIC LICENSE", "Version 3, 19 November 2007"), "AGPL-3.0-only"),
        (titled("Mozilla Public License Version 2.0", "1. Definitions"), "MPL-2.0"),
        (titled("Eclipse Public License - v 1.0"), "EPL-1.0"),
        (titled("Eclipse Public License - v 2.0"), "EPL-2.0"),
        (titled("COMMON DEVELOPMENT AND DISTRIBUTION LICENSE (CDDL)", "Version 1.0"), "CDDL-1.0"),
        (titled("COMMON DEVELOPMENT AND DISTRIBUTION LICENSE (CDDL)", "Version 1.1"), "CDDL-1.1"),
        (titled("EUROPEAN UNION PUBLIC LICENCE v. 1.2"), "EUPL-1.2"),
        (titled("Boost Software License - Version 1.0 - August 17th, 2003"), "BSL-1.0"),
        (titled("Server Side Public License", "VERSION 1, OCTOBER 16, 2018"), "SSPL-1.0"),
        (titled("Business Source License 1.1"), "BUSL-1.1"),
        (titled("Elastic License 2.0", "## Acceptance"), "Elastic-2.0"),
        (titled("The Artistic License 2.0"), "Artistic-2.0"),
        (titled("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2"), "PSF-2.0"),
        (titled("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2", "BEOPEN PYTHON OPEN SOURCE LICENSE AGREEMENT"),
         "Python-2.0"),
        (titled("CC0 1.0 Universal"), "CC0-1.0"),
        (titled("Creative Commons", "Attribution 4.0 International"), "CC-BY-4.0"),
        (titled("Attribution-ShareAlike 4.0 International"), "CC-BY-SA-4.0"),
        (titled("Attribution-NonCommercial 4.0 International"), "CC-BY-NC-4.0"),
        (titled("This is free and unencumbered software released into the public domain."), "Unlicense"),
        (titled("DO WHAT THE FUCK YOU WANT TO PUBLIC LICENSE"), "WTFPL"),
        (MIT, "MIT"),
        (MIT.partition(", subject")[0] + ". The software is provided as is.", "MIT-0"),
        (MIT + " The Software shall be used for Good, not Evil.", "JSON"),
        (BSD, "BSD-2-Clause"),
        (BSD + ENDORSE, "BSD-3-Clause"),
        (ISC + PROVIDED, "ISC"),
        (ISC, "0BSD"),
        ("Permission to use, copy, modify, and distribute this software for any purpose, without fee, and without "
         "a written agreement is hereby granted", "PostgreSQL"),
        (ISC.replace(", and/or", ", and") + PROVIDED + " A name shall not be used in advertising or otherwise.",
         "curl"),
        ("Permission to use, copy, modify and distribute this software and its documentation for any purpose and "
         "without fee is hereby granted", "HPND"),
        ("Permission to use, copy, modify and distribute this software as one likes, says nobody",
         "LicenseRef-Unknown"),
        ("Permission is hereby granted, free of charge, to any person obtaining a copy of the fonts",
         "LicenseRef-Unknown"),
        (BSD + " There are LLVM Exceptions to the Apache 2.0 License, but not here.", "BSD-2-Clause"),
        (ZLIB, "Zlib"),
        (MIT + titled("Apache License", "Version 2.0, January 2004"), "MIT AND Apache-2.0"),
        (BSD + "\n\n" + BSD + ENDORSE, "BSD-2-Clause AND BSD-3-Clause"),
        ("Licensed under either of MIT or Apache-2.0.\n" + MIT + titled("Apache License", "Version 2.0, January 2004"),
         "MIT OR Apache-2.0"),
        ("Licensed under the MIT or the BSD license.\n" + MIT + BSD, "(MIT OR LicenseRef-BSD) AND BSD-2-Clause"),
        ("You may use either of these two.\n" + MIT + BSD, "MIT OR BSD-2-Clause"),
        (FSF.format("General Public License") + "; " + LATER.format(2) + titled("GNU GENERAL PUBLIC LICENSE",
         "Version 2, June 1991"), "GPL-2.0-or-later"),
        (titled("GNU GENERAL PUBLIC LICENSE", "Version 2, June 1991") + FSF.format("General Public License") + "; "
         + LATER.format(2), "GPL-2.0-only"),
        (MIT + "\nThis binary distribution also bundles the following software:\n"
         + titled("GNU GENERAL PUBLIC LICENSE", "Version 3, 29 June 2007"), "MIT"),
        (MIT + " Not for commercial use.", "MIT AND LicenseRef-Unknown"),
        (MIT + titled('"Commons Clause" License Condition v1.0'), "MIT AND LicenseRef-Commons-Clause"),
        (BSD.replace("are permitted", "for research and education are permitted"), "LicenseRef-Unknown"),
        ("MIT", "MIT"),
        ("# MIT License\n", "MIT"),
        ("SPDX-License-Identifier: ISC\n", "ISC"),
        ("../LICENSE", ""),
        ("See the file COPYING.", ""),
        ("", ""),
        ("Only on Sundays. " * 40, "LicenseRef-Unknown"),
        ("Only on Sundays.", "LicenseRef-Unknown"),
    ],
)  # fmt: skip
def test_licence_files_are_known_by_telling_phrases(text: str, expected: str) -> None:
    assert in_licence(text) == expected
    assert in_licence(text.upper().replace("\n", "\r\n * ")) == expected or len(text) < 100


@given(st.text())
def test_every_answer_is_an_expression_or_nothing(text: str) -> None:
    for found in (in_text(f"# {text}\n# licence under the {text}"), in_licence(text)):
        assert canonical(found) == found


@pytest.mark.parametrize(
    "piece",
    ["a ", "( ", "/*", '"""', "# licensed under the ", "# licensed under the gnu general public license version ",
     "# SPDX-License-Identifier: MIT\n", "# SPDX-License-Identifier: ((((((\n", "Redistribution and use in source "
     "and binary forms ", "gnu general public license version 2 june 1991 ", "1.", "either of ",
     "contains code a a a a ", "dual licensed under mit or ", "<a <", "# license: a/b,c;d|e&",
     "is released in the public ", "licensed under a.b "],
)  # fmt: skip
def test_hostile_texts_end(piece: str) -> None:
    # A pattern that goes over the text again and again would run into the time limit of the tests.
    text = piece * (1_048_576 // len(piece))
    in_text(text)
    in_licence(text)
