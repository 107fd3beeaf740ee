"""The report of a build: that its figures are the files', that nothing of a repository acts on the page, its bounds."""

from __future__ import annotations

import json
import random
import re
import shutil
import tracemalloc
from array import array
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from built_folder import HOSTILE_NAMES, build_folder, write_lines, write_manifest
from tunesmith.data.codebase import page, pictures, repository, screening
from tunesmith.data.codebase.ledger import reasons
from tunesmith.data.codebase.report import write_report
from tunesmith.data.codebase.tally import ROW_FILES, ROWS_SHOWN, STAGES, Spread, stage_of, tally
from tunesmith.errors import DataLoss, NotFound

REASONS = reasons()
VOID = {"meta", "br", "link", "img", "input", "hr"}
MOST_BYTES = 2_000_000


class Parsed(HTMLParser):
    """A page as a browser takes it: elements, their attributes, and the text in them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))

    def text(self, within: str = "") -> str:
        return "".join(data for tags, data in self.texts if (not within or within in tags) and "style" not in tags)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_folder(tmp_path_factory.mktemp("built"), files=1500)
    write_report(folder, REASONS)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_folder(tmp_path_factory.mktemp("hostile"), files=60, hostile=True)
    write_report(folder, REASONS)
    return folder


def html_of(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")


# Figures.


def test_the_head_says_what_the_files_hold(built: Path) -> None:
    ledger, told = lines_of(built / "ledger.jsonl"), lines_of(built / "rows.jsonl")
    used = [line for line in ledger if line["status"] == "used"]
    training = sum(row["file"].startswith("train") for row in told)
    head = dict(re.findall(r"<dt>([^<]*)</dt><dd><b>([^<]*)</b>", html_of(built)))
    assert head["Files used"] == f"{len(used):,}"
    assert head["Bytes used"] == page.size(sum(line["bytes"] for line in used))
    assert head["Training rows"] == f"{training:,}"
    assert head["Evaluation rows"] == f"{len(told) - training:,}"
    assert head["Languages used"] == str(len({line["language"] for line in used}))
    assert head["Secrets redacted"] == str(sum(sum(line["redactions"].values()) for line in ledger))
    dropped = sum(len(cluster["members"]) - 1 for cluster in lines_of(built / "clusters.jsonl"))
    assert head["Duplicates dropped"] == f"{dropped:,}"


def test_every_file_of_the_ledger_is_counted_once_however_it_is_counted(built: Path) -> None:
    files, ledger = tally(built).files, lines_of(built / "ledger.jsonl")
    for amounts in (files.reasons, files.languages, files.licences):
        assert sum(amount.files for amount in amounts.values()) == len(ledger)
        assert sum(amount.size_bytes for amount in amounts.values()) == sum(line["bytes"] for line in ledger)
    for amounts in files.folders:
        assert sum(amount.files for amount in amounts.values()) == files.used.files


def test_every_row_is_counted_once_however_it_is_counted(built: Path) -> None:
    rows, told = tally(built).rows, lines_of(built / "rows.jsonl")
    assert rows.counts.total() == rows.languages.total() == len(told)
    assert rows.middles.total() == sum(row["kind"] == "fim" for row in told)
    for kind, part in (("instruction", "prompt"), ("fim", "middle")):
        counted = {split: len(values) for split, values in rows.lengths[kind, part].items()}
        assert counted == {split: rows.counts[kind, split] for split in ("training", "evaluation")}


def test_lengths_are_characters_of_the_rows(built: Path) -> None:
    answers = [row["output_text"] for row in lines_of(built / "train.jsonl") if "output_text" in row]
    assert list(tally(built).rows.lengths["instruction", "answer"]["training"]) == list(map(len, answers))


def test_the_funnel_ends_at_what_is_used(built: Path) -> None:
    described = re.findall(r"<title>Files at each stage</title><desc>([^<]*)", html_of(built))
    stays = [int(found.replace(",", "")) for found in re.findall(r": ([\d,]+)", described[0])]
    ledger = lines_of(built / "ledger.jsonl")
    assert len(stays) == 1 + len(STAGES)
    assert stays[0] == len(ledger)
    assert stays[-1] == sum(line["status"] == "used" for line in ledger)
    assert all(before >= after for before, after in pairwise(stays))


@pytest.mark.parametrize("code", [*repository.REASONS, *screening.REASONS])
def test_reasons_of_reading_and_of_the_screen_are_of_their_stages(code: str) -> None:
    assert stage_of(code) in ("reading", "screening")


def test_a_reason_has_the_callers_words_or_stands_for_itself(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    write_report(folder, {"vendored": "words of the caller"})
    text = Parsed(html_of(folder)).text("table")
    assert "vendored words of the caller" in text
    assert screening.REASONS["vendored"] not in text
    assert "near-duplicate duplicates" in text  # no words, then the stage


def test_licences_are_marked_as_what_became_of_their_files_tells(built: Path) -> None:
    cells = re.findall(r'<th scope="row">([^<]*)<svg class="bar"(?:(?!</th>).)*</th><td>([^<]*)</td>', html_of(built))
    judged = dict(cells)
    assert judged["MIT"] == "allowed"
    assert judged["GPL-3.0-only"] == "not allowed"
    assert judged["none found"] == "unknown, not allowed"


# What a repository could do to the page.


def test_nothing_of_a_repository_becomes_an_element(hostile: Path) -> None:
    parsed = Parsed(html_of(hostile))
    assert parsed.open == []
    tags = Counter(tag for tag, _ in parsed.elements)
    assert not tags.keys() & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "image", "a:href"}
    assert tags["style"] == 1
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
        assert (attributes.get("href") or "#").startswith("#"), (tag, attributes)


def test_code_of_a_repository_is_on_the_page_as_it_is(hostile: Path) -> None:
    assert "</code></pre><script>alert('row')</script>\n<!-- " in Parsed(html_of(hostile)).text("pre")


def test_names_of_a_repository_are_on_the_page_with_escapes_for_what_is_unseen(tmp_path: Path) -> None:
    ledger = [{**ledger_line(name), "status": "rejected", "reason": "empty"} for name in HOSTILE_NAMES]
    write_folder(tmp_path, ledger, [], {})
    write_report(tmp_path, REASONS)
    parsed = Parsed(html_of(tmp_path))
    assert parsed.open == []
    short = [ascii(name)[1:-1] if not name.isprintable() else name for name in HOSTILE_NAMES if len(name) < 100]
    assert len(short) == len(HOSTILE_NAMES) - 1
    assert [name for name in short if name not in parsed.text("code")] == []
    assert "src/very-long-name-" in parsed.text("code")
    assert HOSTILE_NAMES[6] not in parsed.text()


def test_no_character_of_the_page_turns_the_direction_or_is_unseen(hostile: Path) -> None:
    unseen = {c for c in html_of(hostile) if not c.isprintable()}
    assert unseen <= {"\n", "\t"}


def test_the_page_forbids_scripts_and_loads_nothing(built: Path) -> None:
    html = html_of(built)
    policies = [a["content"] for tag, a in Parsed(html).elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not re.search(r"(?i)https?://|url\(|@import|javascript:|\bsrc=", html)


@given(st.text())
def test_text_reads_as_the_value_with_escapes_for_what_is_unseen(value: str) -> None:
    shown = Parsed(page.text(value)).text()
    expected = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    assert shown.isprintable()
    assert shown == expected or len(expected) > page.LONGEST_TEXT / 20


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")), st.integers(50, 3000))
def test_code_reads_as_the_source_or_says_how_much_is_cut(source: str, most: int) -> None:
    seen = "".join(c if c.isprintable() or c in "\n\t" else "" for c in source)
    html = page.code(source, most)
    shown = Parsed(re.sub(r'<span class="esc">[^<]*</span>', "", html)).text()
    if "... " not in shown:
        assert shown == seen
    assert len(html) <= 2.5 * most + 500


@pytest.mark.parametrize("head", [0.3, 0.7])
@pytest.mark.parametrize("line", [10, 70, 10_000])
def test_what_is_cut_out_of_a_block_is_counted(line: int, head: float) -> None:
    source = "".join("abcdefghij"[i % 10] if i % line else "\n" for i in range(1, 9000))
    first, left, last = re.split(
        r'<span class="cut">\.\.\. ([\d,]+) characters \.\.\.</span>', page.code(source, 800, head)
    )
    assert source.startswith(first)
    assert source.endswith(last)
    assert len(first) + int(left.replace(",", "")) + len(last) == len(source)
    assert 500 <= len(first) + len(last) <= 800
    assert line > 800 or (first.endswith("\n") and source[: -len(last)].endswith("\n"))


def test_a_fim_row_is_shown_as_its_text_with_the_middle_marked(tmp_path: Path) -> None:
    write_one_row(tmp_path, "fim", {"prefix": "\ndef f():\n    ", "middle": "return <b>1</b>", "suffix": "\n\n"})
    write_report(tmp_path, REASONS)
    parsed = Parsed(html_of(tmp_path))
    # A browser takes the first line end of <pre> away.
    assert parsed.text("pre") == "\n" + "\ndef f():\n    return <b>1</b>\n\n"
    assert parsed.text("mark") == "return <b>1</b>"


# Bounds.


def test_the_same_folder_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = build_folder(tmp_path, files=1500)
    write_report(again, REASONS)
    assert (again / "report.html").read_bytes() == (built / "report.html").read_bytes()


@pytest.mark.parametrize("files", [0, 1, 7])
def test_a_build_without_rows_has_a_report(files: int, tmp_path: Path) -> None:
    write_report(build_folder(tmp_path, files=files, rows=False), REASONS)
    assert Parsed(html_of(tmp_path)).open == []
    assert "The build made no rows." in html_of(tmp_path)


def test_a_ledger_of_200_000_files_gives_a_small_page(tmp_path: Path) -> None:
    write_large_ledger(tmp_path, 200_000)
    assert write_report(tmp_path, REASONS).stat().st_size < MOST_BYTES / 4
    assert "<b>100,000</b><small>of 200,000, 50.0%</small>" in html_of(tmp_path)


def test_memory_does_not_grow_with_the_ledger(tmp_path: Path) -> None:
    write_large_ledger(tmp_path, 20_000)
    tracemalloc.start()
    try:
        tally(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The file has 6 MB; 200,000 lines may cost 200 MB.
    assert peak < 3_000_000


@pytest.mark.parametrize("character", ["\U000e0041", "&", '"', "\u202e", "\U0001f600", "a"])
def test_no_names_and_no_code_make_the_page_large(character: str, tmp_path: Path) -> None:
    ledger = [
        {
            **ledger_line(f"{character * 2000}{n}.py"),
            "status": "rejected",
            "reason": f"{n % 60:02}",
            "detail": character * 900,
        }
        for n in range(60 * 31)
    ]
    code = character * 5000
    forms: dict[str, dict[str, Any]] = {
        "instruction": {"input_text": code, "output_text": code, "context": code},
        "fim": {"prefix": code, "middle": code, "suffix": code, "context": code},
    }
    turns = [{"author": author, "content": code} for author in ("user", "assistant") * 20]
    told, written = [], {name: [] for name in ROW_FILES}  # type: ignore[var-annotated]
    for name, rows in written.items():
        for n in range(2 * ROWS_SHOWN):
            kind = "chat" if "chat" in name else ("fim", "instruction")[n % 2]
            rows.append(forms.get(kind) or {"messages": turns, "context": code})
            told.append(origin(name, len(rows), kind, f"{character * 2000}{n}.py"))
    write_folder(tmp_path, ledger, told, written)
    assert write_report(tmp_path, REASONS).stat().st_size < MOST_BYTES


def test_a_list_that_is_cut_says_what_is_left_out_and_where_it_is(tmp_path: Path) -> None:
    ledger = [{**ledger_line(f"{n}.py"), "status": "rejected", "reason": "empty"} for n in range(1234)]
    write_folder(tmp_path, ledger, [], {})
    write_report(tmp_path, REASONS)
    assert "1,204 more files in ledger.jsonl." in Parsed(html_of(tmp_path)).text()


# What is chosen to be shown.


@given(st.sets(st.text(max_size=20), max_size=60), st.randoms(use_true_random=False), st.integers(1, 10))
def test_the_few_that_are_shown_do_not_depend_on_the_order(names: set[str], rng: random.Random, most: int) -> None:
    chosen = []
    for _ in range(2):
        shuffled = sorted(names)
        rng.shuffle(shuffled)
        spread = Spread(most)
        for name in shuffled:
            spread.offer(name, name)
        chosen.append(spread.chosen())
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == min(most, len(names))


def test_rows_to_read_are_of_different_files_and_of_all_languages(built: Path) -> None:
    groups: dict[tuple[str, str], list[Any]] = {}
    for shown in tally(built).rows.shown:
        groups.setdefault((shown.origin.kind, shown.origin.split), []).append(shown.origin)
    told = lines_of(built / "rows.jsonl")
    assert len(groups) == 6
    for (kind, split), origins in groups.items():
        languages = {row["language"] for row in told if (row["kind"], ROW_FILES[row["file"]]) == (kind, split)}
        assert len(origins) == ROWS_SHOWN
        assert len({origin.path for origin in origins}) == ROWS_SHOWN
        assert {origin.language for origin in origins} == languages
        assert kind != "fim" or len({origin.middle for origin in origins}) >= 5


def test_a_file_of_many_rows_leaves_room_for_files_of_few(tmp_path: Path) -> None:
    paths = [*["a.py"] * 20, "b.py", "c.py", "d.py"]
    told = [origin("train.jsonl", line, "instruction", path) for line, path in enumerate(paths, 1)]
    rows = [{"input_text": path, "output_text": path} for path in paths]
    write_folder(tmp_path, [ledger_line(path) for path in sorted(set(paths))], told, {"train.jsonl": rows})
    shown = [shown.origin.path for shown in tally(tmp_path).rows.shown]
    assert sorted(shown[:4]) == ["a.py", "b.py", "c.py", "d.py"]
    assert len(shown) == ROWS_SHOWN


def test_a_row_to_read_is_the_row_of_its_line(built: Path) -> None:
    for shown in tally(built).rows.shown:
        assert lines_of(built / shown.origin.file)[shown.origin.line - 1] == shown.row


# Damage.


@pytest.mark.parametrize("name", ["ledger.jsonl", "rows.jsonl", "clusters.jsonl", "manifest.json", "train.jsonl"])
def test_a_file_that_is_missing_is_named(name: str, built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    (folder / name).unlink()
    with pytest.raises(NotFound, match=re.escape(name)):
        write_report(folder, REASONS)


def test_a_damaged_line_is_named(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    lines = (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "ledger.jsonl").write_bytes(b"".join([*lines[:2], lines[2][:-9] + b"\n", *lines[3:]]))
    with pytest.raises(DataLoss, match=r"ledger\.jsonl line 3: not JSON"):
        write_report(folder, REASONS)


@pytest.mark.parametrize(
    ("name", "key"),
    [("ledger.jsonl", "licence"), ("rows.jsonl", "unit"), ("clusters.jsonl", "kept"), ("train-chat.jsonl", "messages")],
)
def test_a_line_without_a_key_is_named(name: str, key: str, built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    lines = lines_of(folder / name)
    del lines[1][key]
    write_lines(folder / name, lines)
    with pytest.raises(DataLoss, match=rf"{re.escape(name)} line 2: "):
        write_report(folder, REASONS)


def test_a_row_of_no_known_origin_is_refused(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    write_lines(folder / "train.jsonl", [*lines_of(folder / "train.jsonl"), {"input_text": "a", "output_text": "b"}])
    with pytest.raises(DataLoss, match=r"train\.jsonl line [\d,]+ is not in rows\.jsonl"):
        write_report(folder, REASONS)


def test_an_origin_without_its_row_is_refused(built: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    rows = lines_of(folder / "train.jsonl")
    write_lines(folder / "train.jsonl", rows[:-1])
    with pytest.raises(DataLoss, match=rf"tells of line {len(rows):,} of train\.jsonl"):
        write_report(folder, REASONS)


# The look.


def test_every_picture_has_words_and_every_table_a_caption(built: Path) -> None:
    html = html_of(built)
    outer = re.findall(r"<svg ([^>]*)>(?:<title>([^<]*)</title><desc>([^<]*)</desc>)?", html)
    pictures_alone = [(attributes, title, words) for attributes, title, words in outer if 'role="img"' in attributes]
    assert len(pictures_alone) >= 10
    assert all(title and words for _, title, words in pictures_alone)
    bars = html.count('class="bar"')
    assert bars == html.count('class="bar" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true"')
    assert html.count("<table>") == html.count("<caption") > 8


def test_every_link_leads_to_a_section(built: Path) -> None:
    elements = Parsed(html_of(built)).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    links = [str(attributes["href"])[1:] for _, attributes in elements if "href" in attributes]
    assert len(set(ids)) == len(ids)
    assert links
    assert set(links) <= set(ids)


def test_no_text_is_smaller_than_12_px(built: Path) -> None:
    sizes = [float(found) for found in re.findall(r"font(?:-size)?:[^;}]*?([\d.]+)px", html_of(built))]
    assert len(sizes) > 10
    assert min(sizes) >= 12


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(scheme: int, built: Path) -> None:
    html = html_of(built)
    colours = dict(re.findall(r"--(\w+):(#\w+)", re.findall(r":root\{([^}]*)\}", html)[scheme]))
    inside = re.findall(r"\.in\{fill:(#\w+)", html)[scheme]
    for text in ("ink", "soft", "esc", "a"):
        assert contrast(colours[text], colours["paper"]) >= 4.5, text
        assert contrast(colours[text], colours["panel"]) >= 4.5, text
    for text in ("ink", "esc"):
        assert contrast(colours[text], colours["mark"]) >= 4.5, text
    for shape in "abcd":
        assert contrast(colours[shape], colours["paper"]) >= 3, shape
    for ground in "ab":
        assert contrast(inside, colours[ground]) >= 4.5, ground


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) > 4 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_share_is_nothing_or_all_only_where_it_is(part: int, rest: int) -> None:
    shown = page.share(part, part + rest)
    assert (shown == "0%") == (part == 0)
    assert shown not in ("0.0%", "100.0%", "100%")
    assert page.share(rest, rest) == "100%"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (999_600, "1 MB"), (1_999_600_000, "2.0 GB"),
     (1_234_000_000_000, "1,234.0 GB")],
)  # fmt: skip
def test_bytes_are_shown_in_decimal_units(size_bytes: int, shown: str) -> None:
    assert page.size(size_bytes) == shown


@given(st.lists(st.integers(0, 10**7), max_size=50), st.lists(st.integers(0, 10**7), max_size=50))
def test_a_histogram_draws_shares_of_each_split(training: list[int], evaluation: list[int]) -> None:
    drawn = pictures.histogram("Lengths", array("Q", training), array("Q", evaluation))
    heights = [float(found) for found in re.findall(r'<rect class="a"[^>]*height="([\d.]+)"', drawn)]
    # Each order of magnitude has bins of its own, and so has zero.
    assert len(heights) >= len({len(str(n)) if n else 0 for n in training if n < 10**6})
    assert bool(heights) == bool(training)
    assert max(heights, default=0) <= 84
    assert (not training or evaluation) or max(heights) == 84
    assert ('class="step"' in drawn) == bool(evaluation)
    assert f"training: {len(training)} texts" in drawn or not training


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=40).map(lambda values: sorted(values, reverse=True)))
def test_the_cells_of_a_map_fill_it_in_proportion(values: list[float]) -> None:
    cells = [pictures.Cell(f"folder {n}", value, 0.0, "") for n, value in enumerate(values)]
    drawn = pictures.tree_map("Map", "", cells)
    found = re.findall(r'<svg x="([\d.]+)%" y="([\d.]+)" width="([\d.]+)%" height="([\d.]+)"', drawn)
    boxes = [tuple(map(float, box)) for box in found]
    assert len(boxes) == len(values)
    for (x, y, width, height), value in zip(boxes, values, strict=True):
        assert x + width <= 100.02
        assert y + height <= 380.2
        # Places are rounded to 0.01 % and 0.1 px.
        slack = 0.02 * height + 0.2 * width + 1
        assert abs(width * height - 38_000 * value / sum(values)) <= slack


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_value_that_the_share_does_not_exceed(values: list[int], at: float) -> None:
    values.sort()
    found = pictures.quantile(values, at)
    assert sum(value <= found for value in values) >= at * len(values) - 1e-9
    assert sum(value < found for value in values) < at * len(values)


# Folders written by hand.


def ledger_line(path: str) -> dict[str, Any]:
    return {
        "path": path, "status": "used", "reason": "", "detail": "", "language": "Python", "licence": "MIT", "bytes": 10,
        "sha256": "", "cluster": "", "split": "training", "examples": {}, "left_out": {}, "redactions": {},
    }  # fmt: skip


def origin(file: str, line: int, kind: str, path: str) -> dict[str, Any]:
    return {"file": file, "line": line, "kind": kind, "path": path, "unit": path, "language": "Python",
            "template": "", "middle": "block" if kind == "fim" else "", "start": 0, "end": 1}  # fmt: skip


def write_folder(folder: Path, ledger: Any, told: Any, written: dict[str, list[Any]]) -> None:
    write_lines(folder / "ledger.jsonl", ledger)
    write_lines(folder / "rows.jsonl", told)
    write_lines(folder / "clusters.jsonl", [])
    for name, rows in written.items():
        write_lines(folder / name, rows)
    write_manifest(folder)


def write_one_row(folder: Path, kind: str, row: dict[str, Any]) -> None:
    write_folder(folder, [ledger_line("a.py")], [origin("train.jsonl", 1, kind, "a.py")], {"train.jsonl": [row]})


def write_large_ledger(folder: Path, files: int) -> None:
    """Half used, half rejected; every file of a name, a folder and a checksum of its own."""
    used = json.dumps(ledger_line("PATH")) + "\n"
    rejected = used.replace('"used", "reason": ""', '"rejected", "reason": "no-examples"').replace('"training"', '""')
    assert used != rejected
    write_folder(folder, [], [], {})
    with open(folder / "ledger.jsonl", "w", encoding="ascii") as file:
        file.writelines(
            (used, rejected)[n % 2].replace("PATH", f"src/{n % 97}/{n % 31}/file_{n}.py") for n in range(files)
        )
