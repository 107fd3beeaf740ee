"""What comments and docstrings say: plain text without marks, and its opening words.

In: comments as they are written, of sixteen languages. Out: text with paragraphs and lists as they were; tags keep one
form (`@param x`), whatever the tool's own is. What is no documentation (licences, code put out of use) becomes empty.
"""

from __future__ import annotations

import html
import inspect
import re

SUMMARY_CHARACTERS = 600
"""An instruction longer than this is a manual."""
LEAST_CHARACTERS = 20
LEAST_WORDS = 3
LEAST_OWN_WORDS = 2
"""Of them, words that are no code."""


def from_comment(source: str) -> str:
    """The text of one block comment, or of line comments that follow each other."""
    text = _outdented(_unmarked(source))
    # C and its heirs write prose in plain comments too, but nobody puts code out of use in `/** ... */` or `///`.
    if _is_licence(text) or (_DOCUMENTATION.match(source) is None and _is_code(text)):
        return ""
    return _plain(_without_markup(text) if source.startswith(("/*", "//")) else text)


def from_docstring(literal: str) -> str:
    """The text of a string literal of Python; escapes but for quotes, backslashes and line ends stay."""
    found = _LITERAL.fullmatch(literal)
    if found is None:
        return ""
    text = found["text"]
    if "r" not in found["prefix"].lower():
        text = _ESCAPED.sub(lambda match: match[1].strip("\n"), text)
    text = _outdented(text)
    return "" if _is_licence(text) else _plain(text)


def is_licence(comment: str) -> bool:
    """Whether a comment, as it is written, states a licence or whose the code is."""
    return _is_licence(_outdented(_unmarked(comment)))


def is_directive(comment: bytes) -> bool:
    """Whether a comment speaks to a tool, by its beginning."""
    return comment.startswith(b"#!") or _DIRECTIVE.match(comment) is not None


def summary(doc: str) -> str:
    """The opening paragraphs of prose, at most SUMMARY_CHARACTERS: nothing from the first tag, list or example on."""
    paragraphs: list[str] = []
    for paragraph in re.split(r"\n\s*\n", doc):
        lines = paragraph.splitlines()
        kept = _before_structure(lines)
        told = (line for line in kept if not _LINK_TARGET.match(line))
        prose = _ROLE.sub(r"`\1`", " ".join(" ".join(told).split()))
        if paragraphs and paragraph.startswith("  "):
            break
        if not (_LINKS.fullmatch(prose) or (_CALL.fullmatch(prose) and not paragraphs)):
            paragraphs.append(_without_announcement(prose, bool(paragraphs)))
        if len(kept) < len(lines) or prose.endswith(":"):
            break
    return _cut("\n\n".join(filter(None, paragraphs)))


def is_prose(doc: str, least_words: int = LEAST_WORDS) -> bool:
    """Whether the opening words say something: a few at least beside addresses, and not only what is to be done.

    Code in it is one word, whatever it is made of; there must be others than such.
    """
    opening = summary(doc)
    said = _URL.sub(" ", opening)
    own = len(_WORD.findall(_SPAN.sub(" ", said)))
    return (
        len(said) + len(_DENSE.findall(said)) >= LEAST_CHARACTERS
        and own >= LEAST_OWN_WORDS
        and own + len(_SPAN.findall(said)) >= least_words
        and _PLACEHOLDER.match(opening) is None
    )


def _outdented(text: str) -> str:
    return inspect.cleandoc(_EMPTY_LINES.sub("\n", text, count=1))


def _unmarked(source: str) -> str:
    """A line end in front where the first line is indented like the others, as `_outdented` reads it."""
    if source.startswith("/*"):
        inner = source[2:].removesuffix("*/").rstrip("*").lstrip("*!").lstrip(" \t")
        first, line_end, rest = inner.partition("\n")
        text = inner if _STARLESS.search(rest) else f"\n {first}{line_end}{_STAR.sub('', rest)}"
    elif source.startswith("=begin"):
        text = source.partition("\n")[2].rpartition("\n")[0]
    else:
        text = "\n" + _LINE_MARK.sub("", source)
    return _RULED.sub("", _ORNAMENT.sub("", text))


def _is_licence(text: str) -> bool:
    # The words first: they are found thirty times as fast as the phrases that they stand in.
    lower = text.lower()
    return any(word in lower for word in _LICENCE_WORDS) and _LICENCE.search(text) is not None


def _without_markup(text: str) -> str:
    """HTML, and the XML of C#, as plain text and tags."""
    if "<" in text or "[[" in text:
        for pattern, plain in _MARKUP:
            text = pattern.sub(plain, text)
    return html.unescape(text) if "&" in text else text


def _plain(text: str) -> str:
    """Tags with an @; no blanks at the ends of lines, one empty line between paragraphs."""
    if "@" in text or "\\" in text:
        text = _LINK.sub(lambda match: match[1].strip().removeprefix("#"), text)
        text = _BRIEF.sub(r"\1", text)
        text = _BACKSLASH_TAG.sub(r"\1@\2", text)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(map(str.rstrip, text.splitlines()))).strip()


def _is_code(text: str) -> bool:
    lines = [line for line in text[:_CODE_CHARACTERS].splitlines() if line.strip()]
    return sum(_CODE.search(line) is not None for line in lines) * 2 > len(lines)


def _before_structure(lines: list[str]) -> list[str]:
    """The lines of a paragraph that stand before a tag, a heading, a list or an example."""
    for number, line in enumerate(lines):
        ruled = number + 1 < len(lines) and _RULE.fullmatch(lines[number + 1]) is not None
        if ruled or _STRUCTURE.match(line) is not None or _RULE.fullmatch(line) is not None:
            return lines[:number]
    return lines


def _without_announcement(prose: str, is_more: bool) -> str:
    """Without what announces something that is not there any more: a last `e.g.`, or a sentence that ends in a colon.

    Of a sentence that is all there is, only the colon goes.
    """
    said = _ANNOUNCING.sub("", prose)
    if not said.endswith(":"):
        return said if said == prose or said[-1:] in ".!?" else f"{said}."
    ends = _sentence_ends(said)
    return said[: ends[-1]] if ends else "" if is_more else said.rstrip(": ") + "."


def _cut(text: str) -> str:
    if len(text) <= SUMMARY_CHARACTERS:
        return text
    head = text[:SUMMARY_CHARACTERS]
    ends = [end for end in _sentence_ends(text[: SUMMARY_CHARACTERS + len("\n\nA")]) if end <= SUMMARY_CHARACTERS]
    if ends and ends[-1] > SUMMARY_CHARACTERS // 4:
        return head[: ends[-1]]
    return head.rpartition(" ")[0].rstrip() or head


def _sentence_ends(text: str) -> list[int]:
    """Where sentences end that another one follows: it begins with no small letter, and no abbreviation ends there."""
    found = [match for match in _SENTENCE_END.finditer(text) if not (match[1] or "").islower()]
    return [match.end() for match in found if not _ABBREVIATED.search(text, max(match.end() - 12, 0), match.end())]


# cleandoc takes empty lines from the front one by one, each in time that grows with their number.
_EMPTY_LINES = re.compile(r"\A(?:[ \t\r]*\n)+")
_DOCUMENTATION = re.compile(r"/\*[*!]|//[/!]|##|=begin")
_STAR = re.compile(r"(?m)^[ \t]*\*+(?!/)")
_STARLESS = re.compile(r"(?m)^[ \t]*[^\s*]")
_LINE_MARK = re.compile(r"(?m)^[ \t]*(?://+!?(?:<(?=\s))?|#+[!:]?|--+\|?)")
_ORNAMENT = re.compile(r"(?m)^[ \t\-=*#/~_+.|]+$")
_RULED = re.compile(r"(?m)(?<=[ \t])(?:[-=*#/~_]{3,}|#+)[ \t]*$|^[ \t]*[-=*#/~_]{3,}(?=[ \t])")
_LITERAL = re.compile(r"""(?s)(?P<prefix>[rRuU]?)(?P<quote>\"\"\"|'''|"|')(?P<text>.*)(?P=quote)""")
_ESCAPED = re.compile(r"""\\([\\'"\n])""")

_LICENCE_WORDS = ("copyright", "licen", "(c) ", "\xa9", "rights reserved", "permission is", "redistribution")
_LICENCE = re.compile(
    r"(?im)\bcopyright and licen[sc]e|^[^\w\n]*\(c\)\s|\bcopyright\b.{0,12}(?:\(c\)|\xa9|\d{4})|(?:\(c\)|\xa9) ?\d{4}"
    r"|spdx-license-identifier|\ball rights reserved\b|\bpermission is hereby granted\b|\bredistribution and use in\b"
    r"|\blicen[sc]ed (?:to .{1,60}\s)?under\b|\bgnu (?:lesser |affero |library )?general public licen[sc]e"
    r"|\bgoverned by (?:a|the) .{1,40}licen[sc]e|\bfound in the licen[sc]e file|\bapache licen[sc]e\b|^@licen[sc]e\b"
)
_DIRECTIVE = re.compile(
    rb"(?:/\*+|//+|#+|--+)!?\s*(?:<(?:reference|amd-)|@?(?:eslint|jshint|jslint|tslint|prettier-|biome-|istanbul"
    rb"|c8 ignore|v8 ignore|ts-"
    rb"|jsx\b|formatter:|codeCoverageIgnore|phpstan-ignore|noinspection)|webpack[A-Z]|sourceMapping"
    rb"|globals? [\w$]+,|noqa\b|type: ?(?:ignore|\S+$)|pragma[: ]|.{0,20}-\*-|(?:en)?coding[:=]|vim?:|vim: |ex: "
    rb"|(?:mypy|pyright|fmt|yapf|isort|ruff|flake8|typed|encoding|frozen_string_literal|warn_indent|cspell) ?[:=]"
    rb"|(?:pylint|pyre|rubocop|shellcheck|swiftlint|scalafmt|scalastyle|ktlint|detekt|bandit)[:\- ]|go:\w|\+build\b"
    rb"|Copied from [\w.]+\.\w+|@flow\b|nolint\b|export [A-Za-z_]\w*$|NOLINT|clang-format|clang-tidy|cppcheck-"
    rb"|IWYU|[LG]COV_|coverity|NOSONAR|CHECKSTYLE|ReSharper|language=|phpcs|psalm-|:\w+doc:|codespell|region\b\s*$|endregion|\{\{\{|\}\}\})"
)
_CODE_CHARACTERS = 500
"""Whether a comment is code, its first lines tell."""
_CODE = re.compile(
    r"[;{}]\s*$|^\s*[)\]}]+[,;]?\s*$|^\s*[@$\w.:]+\([^()]*(?:\([^()]*\)[^()]*)*\)[,;]?\s*$"
    r"|^\s*[\w.\[\]'\"$>-]+\s*[-+*/|&:]?=[^=]|^\s*(?:def|class|func|fn|function|fun|sub)\s+[\w.]+\s*[(:{<]"
    r"|^\s*(?:if|for|while|elif|switch|with|except)\b.*[:)]\s*$|^\s*(?:else|try|finally):\s*$"
    r"|^\s*(?:return|raise|import|del|assert|echo|end)\b\s*[\w.()\[\]]*$|^\s*from \S+ import"
    r"|^\s*#\s*(?:include|define|if|ifdef|ifndef|endif|else)\b"
)

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\[\[(?:[^\s\[\]]+\s)?([^\[\]]+)\]\]"), r"\1"),
    (re.compile(r"<(?:see|seealso|paramref|typeparamref)\s+\w+=\"(?:\w:)?([^\"]*)\"\s*/>"), r"\1"),
    (re.compile(r"(?<![ \t])[ \t]*<param\s+name=\"([^\"]*)\"\s*>\s*"), r"\n@param \1 "),
    (re.compile(r"(?<![ \t])[ \t]*<typeparam\s+name=\"([^\"]*)\"\s*>\s*"), r"\n@typeparam \1 "),
    (re.compile(r"(?<![ \t])[ \t]*<exception\s+cref=\"(?:\w:)?([^\"]*)\"\s*>\s*"), r"\n@throws \1 "),
    (re.compile(r"(?<![ \t])[ \t]*<(returns|value|example)>\s*"), r"\n@\1 "),
    (re.compile(r"(?<![ \t])[ \t]*<inheritdoc[^>]*>"), ""),
    (re.compile(r"(?i)(?<![ \t])[ \t]*</?(?:p|para|br|summary|remarks|pre|ul|ol|blockquote|table|h\d)\s*/?>[ \t]*"),
     "\n\n"),
    (re.compile(r"(?i)(?<![ \t])[ \t]*<(?:li|item|dt|tr)>\s*"), "\n- "),
    (re.compile(r"(?i)</?(?:a|b|i|em|strong|code|c|tt|li|item|list|dl|dt|dd|description|term|span|sup|sub|tr|td|th|param"
                r"|typeparam|exception|returns|value|example|kbd|var|see|u|div)(?:\s[^<>]*)?/?>"), ""),
)  # fmt: skip
_LINK = re.compile(r"\{@\w+\s([^{}]*)\}")
_BRIEF = re.compile(
    r"(?m)^([ \t]*)[@\\](?:brief|short|fileoverview|overview|description|desc|summary|details?)\b:?[ \t]*"
)
_BACKSLASH_TAG = re.compile(
    r"(?m)^([ \t]*)\\(t?param|returns?|result|throws?|exception|note|see|sa|since|warning|pre|post|file|class|fn|par"
    r"|code)\b"
)
_ROLE = re.compile(r":[a-z]+(?::[a-z]+)?:`[~!.]*([^`<]*?)(?:\s*<[^`]*>)?`")
_STRUCTURE = re.compile(
    r"\s*(?:@\w|:\w+(?:\s[^:`]*)?:(?:\s|$)|[-*+\u2022]\s|\(?\d{1,2}[.)]\s|```|~~~|>>>|\.\.\s|#{1,6}\s|={1,6}\s|\||\$ \w"
    r"|(?:Arg(?:ument)?s|Param(?:eter)?s?|Keyword Arg(?:ument)?s|Keywords|Returns?|Yields?|Raises?|Throws|Attributes"
    r"|Examples?|Usage|Notes?|See Also|References|Warnings?|Options|Inputs?|Outputs?|Globals|Panics|Errors|Safety|TODO"
    r"|FIXME)\s*:{1,2}\s*$|(?:[Aa]rgs|[Pp]arams|Returns|Example|Usage|Usage example|e\.g\.|TODO|FIXME|XXX)\s*:\s"
    r"|.*\s# ?=>|\s{4,}\S)"
)
_CALL = re.compile(r"[\w.:]+\s?\((?:[^()]|\([^()]*\))*\)(?:\s*(?:->|=>).*)?\.?")
"""Docstrings of old repeat their function's head in the first line."""
_LINKS = re.compile(r"(?:\[[^\]]*\]\([^()]*\)|<?https?://\S+(?=\s|$)|\s)+\.?")
_LINK_TARGET = re.compile(r"\s*\[[^\]]+\]: \S+$")
_RULE = re.compile(r"\s*([-=~^\"'`#*+])\1{2,}\s*")
_SPAN = re.compile(r"(`+)[^`]+\1|\b[A-Za-z_](?a:\w)*(?:(?:\.|::|#)[A-Za-z_](?a:\w)*)+")
"""Code in a text: what stands in backquotes, and names with their parts."""
_ANNOUNCING = re.compile(
    r"[\s,;:(\u2013\u2014-]{0,9}(?<![^\W_])(?:e\.g\.?|i\.e\.?|such as|for (?:example|instance))[,:]?\Z"
)
_SENTENCE_END = re.compile(r"[.!?][)\]\"'`*]{0,9}(?=\s+(\S))|[\u3002\uff01\uff1f](?!\Z)")
_ABBREVIATED = re.compile(
    r"(?i)(?<![^\W_])(?:e\.g|i\.e|a\.k\.a|w\.r\.t|cf|vs|viz|resp|approx|incl|esp|et al|figs?|eqs?|sec|refs?|vol|pp?|dr"
    r"|mrs?|prof|(?-i:[A-Z]))\.\Z"
)
"""`etc.` ends sentences as often as not: what follows it tells. A letter alone is an initial of a name."""
_URL = re.compile(r"\bhttps?://\S+")
_PLACEHOLDER = re.compile(
    r"(?i)\W*(?:(?:todo|fixme|xxx|hack)\b|deprecated\s*(?:[:.,;]|$)|(?:[\w-]+ ){0,3}(?:imports|includes)\W*$)"
)
"""What is to be done, or the heading of a part of a file."""
# Chinese, Japanese, Korean and Thai say in one letter what others say in two, and write words without blanks.
_DENSE = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WORD = re.compile(rf"{_DENSE.pattern}{{2}}|[^\W\d_]+")
