"""report.html: what a build made of a repository, for people: one page, without scripts, that loads nothing.

In: the folder of a finished build, and words for its reasons. Out: the page beside the other files, from those files
alone (tally.py counts them; report_files.py and report_rows.py show what was counted); the same folder gives the same
bytes. Long lists are cut, and the page says how much of them is left out and which file has all. It judges nothing:
figures of the build's own checks are shown as the manifest has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.data.codebase import page, report_files, report_rows
from tunesmith.data.codebase.page import Column, count, number, share, size
from tunesmith.data.codebase.tally import EVALUATION, MANIFEST, TRAINING, Clusters, Files, Rows, Tally, tally
from tunesmith.folder import write_text

REPORT = "report.html"
# Lines of a list before the rest is only counted.
_VALUES, _FILES = 80, 40


def write_report(folder: Path, reasons: Mapping[str, str]) -> Path:
    """Writes report.html into the folder of a finished build; its path.

    reasons  words for codes of the ledger; a code without any stands for itself
    NotFound if a file of the build is missing, DataLoss if one is damaged or if two do not agree.
    """
    found = tally(folder)
    write_text(folder / REPORT, _page(found, reasons))
    return folder / REPORT


def _page(found: Tally, words: Mapping[str, str]) -> str:
    source = found.manifest.get("source", {})
    name = page.text(source.get("name", "") or "a repository")
    parts = [
        ("fate", "What became of the files", report_files.fate(found.files)),
        ("reasons", "Why files were rejected", report_files.reasons(found.files, words)),
        ("languages", "Languages", report_files.languages(found.files, found.rows)),
        ("licences", "Licences", report_files.licences(found.files)),
        ("secrets", "Secrets and personal data", report_files.redactions(found.files)),
        ("duplicates", "Duplicates", report_files.duplicates(found.clusters)),
        ("rows", "Rows", report_rows.rows(found.files, found.rows)),
        ("lengths", "Lengths", report_rows.lengths(found.rows)),
        ("split", "Training and evaluation", report_files.split(found.files)),
        ("checks", "Checks", _checks(found.manifest)),
        ("read", "Rows to read", report_rows.shown(found.rows.shown)),
        ("options", "Options and files", _options(found.manifest)),
    ]
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, _ in parts)
    sections = "".join(page.section(anchor, title, html) for anchor, title, html in parts)
    body = (
        f"<header><h1>Data set of {name}</h1>{_origin(source)}{_tiles(found)}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main>{sections}</main>{_footer(found.manifest)}'
    )
    return page.document(f"Data set of {source.get('name', '') or 'a repository'}", body)


# The head.


def _origin(source: Mapping[str, Any]) -> str:
    kind = {"git": "Git repository", "archive": "Archive", "folder": "Folder"}.get(source.get("kind", ""), "Repository")
    revision = source.get("revision", "")
    return f'<p class="under">{kind}{f", revision {page.path(revision)}" if revision else ""}</p>'


def _tiles(found: Tally) -> str:
    files, rows, clusters = found.files, found.rows, found.clusters
    used, whole = files.used, files.all
    languages = {language for (language, is_used), _ in files.languages.items() if is_used and language}
    places = sum(amount.size_bytes for amount in files.redactions.values())
    options = found.manifest.get("options", {})
    policy = options.get("licence_policy", options.get("licence-policy"))
    tiles = [
        ("Training rows", number(rows.total(TRAINING)), _kinds(rows, TRAINING)),
        ("Evaluation rows", number(rows.total(EVALUATION)), _kinds(rows, EVALUATION)),
        ("Files used", number(used.files), f"of {number(whole.files)}, {share(used.files, whole.files)}"),
        ("Bytes used", size(used.size_bytes), f"of {size(whole.size_bytes)}"),
        ("Languages used", number(len(languages)), page.text(_few(_by_size(files, languages)))),
        ("Licence policy", page.text(policy or "not stated"), _licence_counts(files)),
        ("Secrets redacted", number(places), f"in {count(files.redacted_files, 'file')}"),
        ("Duplicates dropped", number(clusters.dropped()), _duplicate_counts(clusters)),
        ("Overlap check", *_verdict(found.manifest.get("overlap"))),
        ("Decontamination", *_verdict(found.manifest.get("decontamination"))),
    ]
    cells = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><small>{more}</small></dd></div>" for name, value, more in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _kinds(rows: Rows, split: str) -> str:
    kinds = sorted({kind for kind, _ in rows.counts})
    counted = [(rows.counts[kind, split], kind) for kind in kinds]
    return "<br>".join(f"{number(n)} {page.text(kind)}" for n, kind in sorted(counted, reverse=True) if n) or "none"


def _by_size(files: Files, languages: Iterable[str]) -> list[str]:
    return sorted(languages, key=lambda language: (-files.languages[language, True].size_bytes, language))


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def _licence_counts(files: Files) -> str:
    refused = sum(amount.files for (_, stage), amount in files.licences.items() if stage == "licence")
    return f"{count(refused, 'file')} rejected for {'its' if refused == 1 else 'their'} licence"


def _duplicate_counts(clusters: Clusters) -> str:
    return f"{number(clusters.dropped('exact'))} exact, {number(clusters.dropped('near'))} near"


def _verdict(checked: Any) -> tuple[str, str]:
    """What a check found, by its figure `found`, and the first figures beside it; all of them are under Checks."""
    if not isinstance(checked, Mapping) or not checked:
        return "not run", ""
    figures = [(name, value) for name, value in page.flattened(checked) if name != "found"]
    more = "<br>".join(f"{page.text(_said(name), 40)}: {page.plain(value)}" for name, value in figures[:3])
    found = checked.get("found")
    return ("run" if found is None else f"{number(found)} found" if found else "none found"), more


def _said(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").replace(".", ", ")


# Checks, options, files.


def _checks(manifest: Mapping[str, Any]) -> str:
    found = []
    for name, title in (("overlap", "Training against evaluation"), ("decontamination", "Against benchmark suites")):
        checked = manifest.get(name)
        html = _values(checked, "Figures of the check") if checked else page.nothing("This check was not run.")
        found.append(f"<h3>{title}</h3>{html}")
    return page.columns(*found)


def _values(values: Any, name: str) -> str:
    pairs = page.flattened(values) if isinstance(values, Mapping) else [(name, values)]
    shown = page.facts((page.text(_said(key), 80), page.plain(value)) for key, value in pairs[:_VALUES])
    return shown + page.note(page.more(len(pairs) - _VALUES, "value", MANIFEST))


def _options(manifest: Mapping[str, Any]) -> str:
    options = manifest.get("options", {})
    used = _values(options, "") if options else page.nothing("The manifest names no options.")
    return f"<h3>Options</h3>{used}<h3>Files of the build</h3>{_written(manifest.get('files', {}))}"


def _written(files: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        [
            page.path(name),
            number(about["rows"]) if "rows" in about else "",
            size(about.get("bytes", 0)),
            f"<code>{page.text(about.get('sha256', ''))}</code>",
        ]
        for name, about in list(files.items())[:_FILES]
    ]
    heads = ("File", Column("Rows"), Column("Bytes"), "SHA-256")
    more = page.more(len(files) - _FILES, "file", MANIFEST)
    return page.table("Files of the build", heads, lines, more, titled=True)


def _footer(manifest: Mapping[str, Any]) -> str:
    made = ", ".join(
        f"{name} {page.text(manifest[key])}"
        for name, key in (("Tunesmith", "tunesmith"), ("templates", "templates"), ("format", "format"))
        if key in manifest
    )
    return f"<footer><p>Made by {made}. Every figure is counted from the other files of this folder.</p></footer>"
