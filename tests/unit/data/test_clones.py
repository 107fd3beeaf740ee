"""Copies are found under other names, forms and words; what only looks alike stays apart."""

from __future__ import annotations

import json
import pickle
import random
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hash_seeds import said_by_each
from tunesmith.data.codebase import clones
from tunesmith.data.codebase.clones import Cluster, Shingles, Signature, shingles_of, signature_of
from tunesmith.data.shingles import runs_of

PYTHON = '''"""Orders of a shop."""
import json
from shop import prices, stock


def total(order, rates):
    """The price of an order with tax."""
    result = 0.0
    for item in order["items"]:  # every one
        price = prices.of(item["id"])
        if price is None:
            raise KeyError(f"no price for {item}")
        result += price * item["count"] * (1.0 + rates.get(item["tax"], 0.2))
    return round(result, 2)


def reserve(order, store):
    missing = []
    for item in order["items"]:
        there = stock.count(store, item["id"])
        if there < item["count"]:
            missing.append((item["id"], item["count"] - there))
            continue
        stock.take(store, item["id"], item["count"])
    if missing:
        stock.undo(store, order["id"])
        return {"ok": False, "missing": missing}
    return {"ok": True, "missing": []}


def load(path, limit=100):
    with open(path, encoding="utf-8") as file:
        orders = [json.loads(line) for line in file if line.strip()]
    while len(orders) > limit:
        orders.pop()
    return sorted(orders, key=lambda order: (order["date"], order["id"]))
'''


def renamed(text: str) -> str:
    names: dict[str, str] = {}
    known = "import|from|def|for|in|if|is|None|raise|return|continue|False|True|with|as|while|lambda"
    return re.sub(
        rf"""("[^"]*")|\b(?!(?:{known})\b)([A-Za-z_]\w*)\b""",
        lambda found: found[1] or names.setdefault(found[2], f"name{len(names)}"),
        text,
    )


def reformatted(text: str) -> str:
    text = re.sub(r" {4}", "\t", text).replace('["', "[ '").replace('"]', "' ]")
    return (
        re.sub(r"\n\n+", "\n", text).replace("(path, limit=100)", "(\n\tpath,\n\tlimit=100,\n)").replace("\n", "\r\n")
    )


def recommented(text: str) -> str:
    lines = [re.sub(r"  # .*", "", line) for line in text.splitlines()]
    return "\n".join(f'{line}  # {i} of "many" words' if line.endswith(":") else line for i, line in enumerate(lines))


def changed(text: str, share: float = 0.05) -> str:
    drawn = random.Random(0)
    lines = text.splitlines()
    for at in drawn.sample(range(len(lines)), int(share * len(lines))):
        lines[at] = f"{lines[at][: len(lines[at]) - len(lines[at].lstrip())]}print({at}, 'something else')"
    return "\n".join(lines)


def found(texts: dict[str, str], language: str = "Python", **contexts: int) -> list[Cluster]:
    paths, contents = list(texts), list(texts.values())
    return clones.clusters(
        paths,
        [signature_of(text, language) for text in contents],
        lambda index: shingles_of(contents[index], language),
        lambda index: contexts.get(paths[index].partition(".")[0], 0),
    )


def shown(
    clusters: Sequence[Cluster], paths: Sequence[str]
) -> list[tuple[str, str, str, list[tuple[str, str, float]]]]:
    """Clusters by paths in the place of indexes."""
    return [(c.id, c.kind, paths[c.kept], [(paths[m.file], m.kind, m.similarity) for m in c.members]) for c in clusters]


@pytest.mark.parametrize(
    ("copy", "kind"),
    [
        (PYTHON, "exact"),
        (reformatted(PYTHON), "near"),
        (recommented(PYTHON), "near"),
        (changed(PYTHON), "near"),
        (renamed(PYTHON), "renamed"),
        (reformatted(renamed(PYTHON)), "renamed"),
        (recommented(reformatted(renamed(PYTHON))), "renamed"),
        (changed(renamed(PYTHON), 0.03), "renamed"),
    ],
)
def test_a_copy_is_found_in_another_form(copy: str, kind: str) -> None:
    [cluster] = found({"a.py": PYTHON, "b.py": copy})
    assert cluster.kind == ("exact" if kind == "exact" else "near")
    assert [(member.file, member.kind) for member in cluster.members] == [(1, kind)]
    assert cluster.members[0].similarity >= 0.7


C = "// A\n#include <math.h>\n" + "".join(
    f"static int f{i}(int a, char *b) {{ /* {i} */ return a * {i} + b[{i}] - '{chr(97 + i)}'; }}\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("language", "text", "copy"),
    [
        ("C", C, re.sub(r"//.*|/\*.*?\*/", "", C)),
        ("Java", C, C.replace("/*", "/* \"not' a string\n")),
        ("JavaScript", C, C.replace("'", '"').replace(";", "")),
        ("SQL", "SELECT a -- it's\nFROM t", "select_" and 'SELECT a /* " */ FROM t -- end'),
        ("Bash", "echo ${#a} 'a # b' # c", "echo ${#a} 'a # b'"),
        ("PHP", "#[A]\n$a = '# b'; // c", "#[A]\n$a = '# b'; # d"),
        ("Ruby", "a = '# b' # c\n=begin\nd\n=end\n", "a = '# b'"),
        ("Rust", "fn f<'a>(x: &'a str, y: &'a str) { x } // it's", "fn f<'a>(x: &'a str, y: &'a str) { x }"),
        ("Go", "x := `a // \\` // b", "x := `a // \\`"),
    ],
)
def test_comments_are_left_out_as_the_language_writes_them(language: str, text: str, copy: str) -> None:
    assert text != copy
    assert signature_of(text, language).tokens == signature_of(copy, language).tokens


@pytest.mark.parametrize(
    ("language", "text", "other"),
    [
        ("Python", "x = 'a # b'", "x = 'a # c'"),
        ("C", 'x = "a // b";', 'x = "a // c";'),
        ("Bash", "x=${#a}", "x=${#b}"),
        ("PHP", "#[A]\nx();", "#[B]\nx();"),
        ("Rust", "fn f<'a>(x: &'a str) { /* c */ a }", "fn f<'a>(x: &'a str) { /* c */ b }"),
    ],
)
def test_what_only_looks_like_a_comment_counts(language: str, text: str, other: str) -> None:
    assert signature_of(text, language).tokens != signature_of(other, language).tokens


@pytest.mark.parametrize("opening", ["/*", '"""', "'", '"', "`", "=begin\n", "'''", "//", '\\"', "#"])
@pytest.mark.parametrize("language", ["Python", "C", "JavaScript", "Ruby", "Bash", "PHP", "Java"])
def test_text_that_opens_ever_again_is_read_once(opening: str, language: str) -> None:
    # A second reading for each opening would take minutes: 200,000 times 200,000 characters.
    signature_of(opening * 200_000, language)


def test_without_names_a_renamed_file_is_the_same() -> None:
    # "order" stands in strings too, which are not renamed.
    text, copy = PYTHON, renamed(PYTHON)
    assert shingles_of(text, "Python").renamed.tolist() == shingles_of(copy, "Python").renamed.tolist()


def test_without_names_other_keywords_are_another_file() -> None:
    other = PYTHON.replace("if ", "while ").replace("return ", "yield ").replace(" in ", " is ").replace("for", "and")
    assert found({"a.py": PYTHON, "b.py": renamed(other)}) == []


def test_different_files_of_one_length_stay() -> None:
    one = "from shop.orders import total\n\n__all__ = ['total']\n"
    other = "from shop.prices import rates\n\n__all__ = ['rates']\n"
    assert len(one) == len(other)
    assert found({"a/__init__.py": one, "b/__init__.py": other}) == []


def test_files_without_code_are_copies_only_if_they_are_the_same() -> None:
    assert found({"a.py": "# One.\n", "b.py": "# Two.\n"}) == []
    assert [c.kind for c in found({"a.py": "# One.\n", "b.py": "# One.\n"})] == ["exact"]


def test_lists_of_one_form_stay() -> None:
    one = "".join(f"ENTRY(shop_{i}, {i % 40})\n" for i in range(600))
    other = "".join(f"COLUMN(book_{i}, {i % 40})\n" for i in range(600))
    tokens, names = clones._tokens_of(one, "C")
    assert len(set(runs_of(clones._nameless(tokens, names), 12).tolist())) > clones.FEW_RUNS
    assert found({"a.h": one, "b.h": other}, "C") == []


def test_short_files_that_share_most_of_their_text_stay() -> None:
    body = "import {m}\n\n\ndef main(path):\n    with open(path) as file:\n        return {m}.{f}(file.read())[0:10]\n"
    assert found({"a.py": body.format(m="json", f="loads"), "b.py": body.format(m="yaml", f="parse")}) == []


def test_a_file_of_another_language_is_a_copy_too() -> None:
    texts = [C, C]
    got = clones.clusters(
        ["a.js", "a.ts"],
        [signature_of(C, "JavaScript"), signature_of(C, "TypeScript")],
        lambda index: shingles_of(texts[index], "TypeScript"),
        lambda _: 0,
    )
    assert [c.kind for c in got] == ["exact"]


def test_ten_thousand_copies_are_one_cluster_and_no_text_is_asked_for() -> None:
    signature = signature_of(PYTHON, "Python")
    paths = [f"d{i % 7}/f{i:05}.py" for i in range(10_000)]

    def refuse(_: int) -> Shingles:
        raise AssertionError("asked for a text")

    [cluster] = clones.clusters(paths, [signature] * len(paths), refuse, lambda _: 0)
    assert (cluster.kind, len(cluster.members), paths[cluster.kept]) == ("exact", 9_999, "d0/f00000.py")


@pytest.mark.parametrize("cache_bytes", [0, clones._CACHE_BYTES])
def test_near_copies_are_compared_with_one_of_them(cache_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "_CACHE_BYTES", cache_bytes)
    contents = [f"{PYTHON}\n\nVERSION = {i}\n" for i in range(200)]
    asked: list[int] = []

    def shingles(index: int) -> Shingles:
        asked.append(index)
        return shingles_of(contents[index], "Python")

    signatures = [signature_of(text, "Python") for text in contents]
    [cluster] = clones.clusters([f"{i:03}.py" for i in range(200)], signatures, shingles, lambda _: 0)
    assert len(cluster.members) == 199
    # Twice two texts for each, to join it and to say how like it is; pairs would be 19,900.
    assert set(asked) == set(range(200))
    assert len(asked) <= 800 if cache_bytes == 0 else len(asked) == 200


def test_the_file_with_most_context_stays() -> None:
    texts = {"a.py": PYTHON, "b.py": PYTHON, "c.py": recommented(PYTHON)}
    assert [c.kept for c in found(texts, b=2, c=1)] == [1]


def test_of_files_with_equal_context_the_least_deep_stays_then_the_first() -> None:
    texts = {"a/b/c.py": PYTHON, "z/b.py": PYTHON, "y/d.py": PYTHON}
    assert [list(texts)[c.kept] for c in found(texts)] == ["y/d.py"]


def test_likeness_is_carried_on_and_said() -> None:
    parts = [f"def f{i}(a, b):\n    return a.go({i}, b.stop[{i}]) + {i * 7}\n\n\n" for i in range(60)]
    texts = {f"{at}.py": "".join(parts[at * 4 : at * 4 + 30]) for at in range(6)}
    [cluster] = found(texts)
    assert [(m.file, m.kind) for m in cluster.members][:1] == [(1, "near")]
    assert cluster.members[-1].kind == "linked"
    assert cluster.members[-1].similarity < 0.7


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_clusters_do_not_depend_on_the_order_of_the_files(drawn: random.Random) -> None:
    texts = {f"{i:02}.py": f"{PYTHON}\nX = {i}\n" for i in range(6)} | {"r.py": renamed(PYTHON), "c.c": C, "d.c": C}
    shuffled = list(texts)
    drawn.shuffle(shuffled)
    other = {path: texts[path] for path in shuffled}
    assert shown(found(other), list(other)) == shown(found(texts), list(texts))


ALPHABET = [f"w{i}" for i in range(400)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(60, 200)), min_size=2, max_size=8), st.integers(0, 3))
def test_near_files_are_those_whose_shingles_say_so(spans: list[tuple[int, int]], seed: int) -> None:
    drawn = random.Random(seed)
    words = drawn.sample(ALPHABET, 260)
    texts = {f"{i}.py": " ".join(words[start : start + length]) for i, (start, length) in enumerate(spans)}
    joined = {frozenset([c.kept, *(m.file for m in c.members)]) for c in found(texts)}
    assert joined == {frozenset(group) for group in linked_by_hand(list(texts.values())) if len(group) > 1}


def linked_by_hand(texts: list[str]) -> list[set[int]]:
    """Groups of texts by sets of tuples and all pairs."""
    words = [text.split() for text in texts]
    sets = [{tuple(one[i : i + 5]) for i in range(len(one) - 4)} for one in words]
    groups = [{i} for i in range(len(texts))]
    for i, one in enumerate(sets):
        for j, other in enumerate(sets[:i]):
            if len(one & other) / len(one | other) >= (0.7 if min(len(one), len(other)) >= 100 else 0.9):
                a, b = (next(group for group in groups if k in group) for k in (i, j))
                if a is not b:
                    a |= b
                    groups.remove(b)
    return groups


def test_minima_estimate_the_similarity() -> None:
    drawn = np.random.default_rng(0)
    errors = []
    for _ in range(40):
        values = drawn.integers(0, 2**64, 1000, dtype=np.uint64)
        one, other = (np.frombuffer(clones._minima(part, 256), np.uint16) for part in (values[:850], values[150:]))
        errors.append(float((one == other).mean()) - 0.7)
    # Of 256 drawings with 0.7 the deviation is 0.0286; of the mean of 40 such, 0.0045.
    assert abs(np.mean(errors)) < 0.015
    assert 0.02 < np.std(errors) < 0.04


def test_a_signature_is_small_and_travels() -> None:
    signature = signature_of(PYTHON * 50, "Python")
    assert pickle.loads(pickle.dumps(signature)) == signature
    assert len(pickle.dumps(signature)) < 900


@pytest.mark.parametrize(
    "text", ["", " \n", ";", ",)", "a", "\ud800", "caf\u00e9 = '\u3042\u3044 \u2028'", "#", "x" * 5000]
)
def test_every_text_has_a_signature(text: str) -> None:
    signature = signature_of(text, "Python")
    assert signature == signature_of(text, "Python")
    assert isinstance(signature, Signature)


def test_signs_of_layout_at_the_end_of_a_token_are_not_part_of_it() -> None:
    assert signature_of("f(a, b,); g()", "C").tokens == signature_of("f(a, b) g()", "C").tokens
    assert signature_of("f(a, b)", "C").tokens != signature_of("f(a b)", "C").tokens


PROBE = """
import json, sys
from tunesmith.data.codebase.clones import clusters, shingles_of, signature_of
texts = json.load(sys.stdin)
paths, contents = list(texts), list(texts.values())
signatures = [signature_of(text, "Python") for text in contents]
found = clusters(paths, signatures, lambda i: shingles_of(contents[i], "Python"), lambda i: len(contents[i]))
print(json.dumps([[[part.hex() for part in one] for one in signatures], found]))
"""


def test_signatures_and_clusters_are_the_same_in_every_process() -> None:
    texts = {f"{i}.py": f"{PYTHON}\nX = {i}\n" for i in range(5)} | {"z.py": renamed(PYTHON)}
    said = said_by_each(PROBE, json.dumps(texts))
    assert len(set(said)) == 1
    assert len(json.loads(said[0])[1]) == 1
