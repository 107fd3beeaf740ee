"""The part of a build's report on files: what became of them, reasons, languages, licences, duplicates, the split.

In: what was counted (tally.py). Out: HTML for the sections of the page (report.py). Bars in tables stand beside their
figures; a picture that stands alone says in words what it shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tunesmith.data.codebase import page
from tunesmith.data.codebase.page import Column, count, number, size
from tunesmith.data.codebase.pictures import Cell, Step, bar, funnel, tree_map
from tunesmith.data.codebase.tally import (
    CLUSTERS,
    EVALUATION,
    LEDGER,
    MEMBERS_SHOWN,
    SPLITS,
    STAGES,
    Amount,
    Cluster,
    Clusters,
    Files,
    Listed,
    Rows,
    stage_of,
)

_STAGE_WORDS = {
    "reading": "Readable",
    "screening": "Written by people",
    "licence": "Licence allows",
    "secrets": "Free of secrets",
    "duplicates": "No duplicate",
    "examples": "Gives examples",
}
_UNKNOWN_LICENCES = frozenset({"", "unknown", "noassertion", "none"})

# Lines of a table before the rest is summed or only counted.
_LANGUAGES, _LICENCES, _REASONS, _FOLDERS, _KINDS = 20, 20, 40, 12, 20
_MAP_CELLS = 40
_SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 20), (21, 50), (51, 1 << 62))
# Of clusters, in files: from and to.


def fate(files: Files) -> str:
    left: dict[str, Amount] = defaultdict(Amount)
    for reason, amount in files.reasons.items():
        if reason:
            left[stage_of(reason)] += amount
    if not files.all.files:
        return page.nothing("There were no files.")
    about = page.nothing(
        "Each bar is what reaches a stage of the build: blue goes on, grey and in brackets is rejected there. "
        "The last blue bar is what the rows are made from."
    )
    by_files = funnel("Files at each stage", _steps(left, files.all, "files"))
    by_bytes = funnel("Bytes at each stage", _steps(left, files.all, "size_bytes"))
    return about + page.columns(page.figure(by_files, "Files"), page.figure(by_bytes, "Bytes"))


def _steps(left: Mapping[str, Amount], whole: Amount, measure: str) -> list[Step]:
    def said(value: int) -> str:
        return size(value) if measure == "size_bytes" else number(value)

    stays = getattr(whole, measure)
    steps = [Step("In the repository", stays, 0, said(stays), said(stays))]
    for stage in STAGES:
        gone = getattr(left.get(stage, Amount()), measure)
        stays -= gone
        short = f"{said(stays)} (\u2212{said(gone)})" if gone else said(stays)
        steps.append(Step(_STAGE_WORDS[stage], stays, gone, short, f"{said(stays)} stay, {said(gone)} rejected"))
    return steps


def reasons(files: Files, words: Mapping[str, str]) -> str:
    codes = sorted(filter(None, files.reasons), key=lambda code: (-files.reasons[code].files, code))
    if not codes:
        return page.nothing("No file was rejected.")
    most = files.reasons[codes[0]].files
    lines = [
        [
            f'<code>{page.text(code)}</code> <span class="words">{page.text(words.get(code, ""))}</span>'
            + bar([("c", files.reasons[code].files)], most),
            page.text(stage_of(code)),
            number(files.reasons[code].files),
            size(files.reasons[code].size_bytes),
        ]
        for code in codes[:_REASONS]
    ]
    heads = ("Reason", Column("Stage", is_number=False, is_extra=True), Column("Files"), Column("Bytes"))
    paths = "".join(_listed(files, code) for code in codes[:_REASONS] if code in files.listed)
    more = page.more(len(codes) - _REASONS, "reason", LEDGER)
    drawn = page.table("Files and bytes rejected, by reason", heads, lines, more)
    return page.columns(drawn, page.figure(paths, "Which files"))


def _listed(files: Files, code: str) -> str:
    listed: list[Listed] = sorted(files.listed[code].chosen())
    items = "".join(
        f"<li>{page.path(one.path)}{f' <small>{page.text(one.detail, 60)}</small>' if one.detail else ''}</li>"
        for one in listed
    )
    whole = files.reasons[code].files
    shown = number(whole) if whole == len(listed) else f"{len(listed)} of {number(whole)}, spread over all"
    more = page.more(whole - len(listed), "file", LEDGER)
    html = f'<div><ul class="paths">{items}</ul>{page.note(more)}</div>'
    return page.fold(f"<code>{page.text(code)}</code> <small>{shown}</small>", html)


def languages(files: Files, rows: Rows) -> str:
    names = {language for language, _ in files.languages}
    ordered = sorted(names, key=lambda name: (*_descending(_amounts_of(files, name)), name))
    if not ordered:
        return page.nothing("There were no files.")
    whole = max(used.files + left.files for used, left in (_amounts_of(files, name) for name in ordered))
    lines = [_language(files, rows, [name], page.text(name or "not known"), whole) for name in ordered[:_LANGUAGES]]
    rest = ordered[_LANGUAGES:]
    if rest:
        lines.append(_language(files, rows, rest, f"{count(len(rest), 'other')}", whole))
    heads = ("Language", Column("Used"), Column("Rejected"), Column("Bytes used", is_extra=True),
             Column("Bytes rejected", is_extra=True), Column("Training rows"), Column("Evaluation rows"))  # fmt: skip
    return page.table("Files, bytes and rows by language", heads, lines, titled=True) + _key_of_use()


def _amounts_of(files: Files, language: str) -> tuple[Amount, Amount]:
    empty = Amount()
    return files.languages.get((language, True), empty), files.languages.get((language, False), empty)


def _descending(pair: tuple[Amount, Amount]) -> tuple[int, int]:
    return -pair[0].size_bytes, -pair[1].files


def _language(files: Files, rows: Rows, names: Sequence[str], shown: str, whole: int) -> list[str]:
    pairs = [_amounts_of(files, name) for name in names]
    used, left = (sum((pair[place] for pair in pairs), Amount()) for place in (0, 1))
    return [
        shown + bar([("a", used.files), ("c", left.files)], max(whole, used.files + left.files)),
        number(used.files),
        number(left.files),
        size(used.size_bytes),
        size(left.size_bytes),
        *(number(sum(rows.languages[name, split] for name in names)) for split in SPLITS),
    ]


def _key_of_use() -> str:
    return page.key(("a", "files used"), ("c", "files rejected"))


def licences(files: Files) -> str:
    names = sorted({licence for licence, _ in files.licences}, key=lambda name: (*_licence_order(files, name), name))
    if not names:
        return page.nothing("There were no files.")
    whole = max(_files_of(files, name) for name in names)
    lines = [_licence(files, [name], page.text(name or "none found", 120), whole) for name in names[:_LICENCES]]
    if rest := names[_LICENCES:]:
        lines.append(_licence(files, rest, count(len(rest), "other"), whole))
    heads = ("Licence", "Judged", Column("Files used"), Column("Rejected for licence"),
             Column("Rejected otherwise", is_extra=True), Column("Bytes used", is_extra=True))  # fmt: skip
    colours = page.key(("a", "used"), ("b", "rejected for the licence"), ("c", "rejected for another reason"))
    return page.table("Files by licence", heads, lines, titled=True) + colours


def _licence_order(files: Files, licence: str) -> tuple[int, int]:
    return -files.licences.get((licence, ""), Amount()).files, -_files_of(files, licence)


def _files_of(files: Files, licence: str) -> int:
    return sum(files.licences.get((licence, stage), Amount()).files for stage in ("", *STAGES))


def _licence(files: Files, names: Sequence[str], shown: str, whole: int) -> list[str]:
    amounts: dict[str, Amount] = {
        stage: sum((files.licences.get((name, stage), Amount()) for name in names), Amount()) for stage in ("", *STAGES)
    }
    used, refused = amounts[""], amounts["licence"]
    other = sum(amount.files for amount in amounts.values()) - used.files - refused.files
    judged = _judged(names[0], amounts) if len(names) == 1 else ""
    parts = [("a", used.files), ("b", refused.files), ("c", other)]
    return [
        shown + bar(parts, max(whole, used.files + refused.files + other)),
        judged,
        number(used.files),
        number(refused.files),
        number(other),
        size(used.size_bytes),
    ]


def _judged(licence: str, amounts: Mapping[str, Amount]) -> str:
    """What the policy said of a licence, as it shows in what became of its files."""
    unknown = "unknown, " if licence.lower() in _UNKNOWN_LICENCES else ""
    later = ("", *STAGES[STAGES.index("licence") + 1 :])
    if amounts["licence"].files:
        return f"{unknown}not allowed"
    return f"{unknown}{'allowed' if any(amounts[stage].files for stage in later) else 'not judged'}"


def redactions(files: Files) -> str:
    kinds = sorted(files.redactions, key=lambda kind: (-files.redactions[kind].size_bytes, kind))
    if not kinds:
        return page.nothing("Nothing was redacted.")
    most = files.redactions[kinds[0]].size_bytes
    lines = [
        [
            page.text(kind) + bar([("d", files.redactions[kind].size_bytes)], most),
            number(files.redactions[kind].size_bytes),
            number(files.redactions[kind].files),
        ]
        for kind in kinds[:_KINDS]
    ]
    note = "A place is where a placeholder stands instead of what was found. What was found is in no file of the build."
    more = page.more(len(kinds) - _KINDS, "kind", LEDGER)
    heads = ("Kind", Column("Places"), Column("Files"))
    return page.columns(page.table("Places redacted, by kind", heads, lines, f"{note} {more}", titled=True))


# Duplicates.


def duplicates(clusters: Clusters) -> str:
    if not clusters.sizes:
        return page.nothing("No two files were the same or nearly so.")
    dropped, whole = count(clusters.dropped(), "file"), count(sum(clusters.sizes.values()), "cluster")
    about = f"Of each cluster one file stays; dropped: {dropped} of {whole}."
    tables = page.columns(_cluster_sizes(clusters), _similarities(clusters.similarities))
    return f'<p class="about">{about}</p>{tables}<h3>Largest clusters, by the file that stays</h3>{_largest(clusters)}'


def _cluster_sizes(clusters: Clusters) -> str:
    found = []
    for low, high in _SIZES:
        exact, near = (
            sum(n for (files, of_kind), n in clusters.sizes.items() if of_kind == kind and low <= files <= high)
            for kind in ("exact", "near")
        )
        name = f"{low}" if low == high else f"{low} to {high}" if high < 1000 else f"{low} and more"
        found.append((name, exact, near))
    most = max(exact + near for _, exact, near in found)
    lines = [
        [f"{name} files{bar([('d', exact), ('a', near)], most)}", number(exact), number(near)]
        for name, exact, near in found
        if exact + near
    ]
    heads = ("Files in a cluster", Column("Exact"), Column("Near"))
    return page.table("Clusters by size", heads, lines) + page.key(("d", "exact"), ("a", "near"))


def _similarities(values: Counter[int]) -> str:
    if not values:
        return ""
    bins: Counter[int] = Counter()
    for percent, n in values.items():
        bins[min(percent, 99) // 5 * 5] += n
    most = max(bins.values())
    lines = [
        [f"{low / 100:.2f} to {low / 100 + 0.05:.2f}{bar([('a', bins[low])], most)}", number(bins[low])]
        for low in range(95, min(bins) - 1, -5)
    ]
    return page.table("Near-duplicates by similarity to what stays", ("Similarity", Column("Files dropped")), lines)


def _largest(clusters: Clusters) -> str:
    more = page.more(sum(clusters.sizes.values()) - len(clusters.largest), "cluster", CLUSTERS)
    return page.several(_one_cluster(cluster) for cluster in clusters.largest) + page.note(more)


def _one_cluster(cluster: Cluster) -> str:
    same = f"{cluster.lowest:.2f}"
    if cluster.lowest != cluster.highest:
        same += f" to {cluster.highest:.2f}"
    about = f"{count(cluster.size, 'file')}, {cluster.kind}, similarity {same}, {cluster.name}"
    title = f"{page.path(cluster.kept)} <small>{page.text(about)}</small>"
    items = "".join(f"<li>{page.path(name)}</li>" for name in cluster.others)
    more = page.more(cluster.size - 1 - MEMBERS_SHOWN, "file", CLUSTERS)
    return page.fold(title, f'<div><ul class="paths">{items}</ul>{page.note(more)}</div>')


# The split.


def split(files: Files) -> str:
    amounts = _folders(files)
    names = sorted({name for name, _ in amounts}, key=lambda name: (-_of_folder(amounts, name).size_bytes, name))
    if not names:
        return page.nothing("No file is in either split.")
    most = _of_folder(amounts, names[0]).size_bytes
    lines = [_folder_line(amounts, [name], page.path(f"{name}/" if name else "./"), most) for name in names[:_FOLDERS]]
    if rest := names[_FOLDERS:]:
        lines.append(_folder_line(amounts, rest, count(len(rest), "other folder"), most))
    heads = ("Folder", Column("Training files", is_extra=True), Column("Evaluation files", is_extra=True),
             Column("Training bytes"), Column("Evaluation bytes"))  # fmt: skip
    key = page.key(("a", "training"), ("b", "evaluation"))
    drawn = page.figure(_map(amounts, names), f"Used bytes by folder <small>of {count(len(names), 'folder')}</small>")
    return page.columns(drawn + key, page.table("Largest folders", heads, lines))


def _folders(files: Files) -> Mapping[tuple[str, str], Amount]:
    """The deepest folders that are still few enough to be told apart."""
    for amounts in reversed(files.folders):
        if len({name for name, _ in amounts}) <= _MAP_CELLS:
            return amounts
    return files.folders[0]


def _of_folder(amounts: Mapping[tuple[str, str], Amount], name: str) -> Amount:
    return sum((amounts.get((name, split), Amount()) for split in SPLITS), Amount())


def _folder_line(amounts: Mapping[tuple[str, str], Amount], names: Sequence[str], shown: str, most: int) -> list[str]:
    training, evaluation = (sum((amounts.get((n, split), Amount()) for n in names), Amount()) for split in SPLITS)
    whole = max(most, training.size_bytes + evaluation.size_bytes)
    return [
        shown + bar([("a", training.size_bytes), ("b", evaluation.size_bytes)], whole),
        number(training.files),
        number(evaluation.files),
        size(training.size_bytes),
        size(evaluation.size_bytes),
    ]


def _map(amounts: Mapping[tuple[str, str], Amount], names: Sequence[str]) -> str:
    cells = []
    for name in names[:_MAP_CELLS]:
        whole, kept_back = _of_folder(amounts, name), amounts.get((name, EVALUATION), Amount())
        if whole.size_bytes:
            cells.append(
                Cell(name or "./", whole.size_bytes, kept_back.size_bytes / whole.size_bytes, size(whole.size_bytes))
            )
    described = "; ".join(f"{cell.name} {cell.words}, {cell.evaluation:.0%} evaluation" for cell in cells[:12])
    return tree_map("Used bytes by folder and split", described, cells)
