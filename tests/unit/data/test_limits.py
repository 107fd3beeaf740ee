"""Limits of files, and rules that change them."""

from __future__ import annotations

import pytest

from tunesmith.data.codebase.limits import Limits, Rules, globs, rule_of
from tunesmith.errors import InvalidArgument


def test_without_rules_every_file_has_the_limits() -> None:
    assert Rules().of("a/b.py") == Limits()


def test_a_rule_changes_the_limits_of_the_files_that_its_glob_fits() -> None:
    rules = Rules([rule_of("tests/**: longest_line=8000")])
    assert rules.of("tests/a/b.py").longest_line == 8000
    assert rules.of("src/b.py") == Limits()


def test_of_two_rules_that_fit_the_later_one_counts() -> None:
    rules = Rules([rule_of("*.py: mean_line=50"), rule_of("big.py: mean_line=70")])
    assert rules.of("a/big.py").mean_line == 70


def test_a_rule_accepts_what_would_be_rejected() -> None:
    rule = rule_of("/vendor/ours/: accept=vendored, accept=generated")
    assert Rules([rule]).of("vendor/ours/x.py").accept == {"vendored", "generated"}
    assert Rules([rule]).of("vendor/theirs/x.py").accept == frozenset()


def test_a_glob_may_hold_a_colon() -> None:
    assert Rules([rule_of("a:b/*.py: max_bytes=10")]).of("a:b/c.py").max_bytes == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests/**", "write GLOB: NAME=VALUE"),
        (": longest_line=1", "write GLOB: NAME=VALUE"),
        ("a:", "write GLOB: NAME=VALUE"),
        ("a: longest_lines=1", "did you mean longest_line?"),
        ("a: longest_line=many", "'many' is no number"),
        ("a: longest_line", "has no value"),
        ("a: longest_line=-1", "must be 0 to"),
        ("a: mean_line=nan", "must be 0 to"),
        ("a: max_bytes=99999999", "must be 0 to 1,048,576"),
        ("a: most_broken=1.5", "must be 0 to 1,"),
        ("a: accept=secret", "'secret' is not known"),
    ],
)
def test_a_rule_that_is_wrong_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        rule_of(text)
    assert said in str(error.value)
    assert repr(text) in str(error.value)


def test_the_same_limits_are_written_alike() -> None:
    a, b = Limits(accept=frozenset({"vendored", "data"})), Limits(accept=frozenset({"data", "vendored"}))
    assert a.written() == b.written() != Limits().written()


def test_globs_mean_what_they_mean_in_gitignore() -> None:
    spec = globs(["docs/", "*.min.js", "/top.py"])
    fitting = [path for path in ("x/docs/a.py", "b/c.min.js", "top.py", "a/top.py", "a.js") if spec.match_file(path)]
    assert fitting == ["x/docs/a.py", "b/c.min.js", "top.py"]
