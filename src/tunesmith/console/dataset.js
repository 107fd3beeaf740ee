// One data set of a codebase: how far it is, what became of the files, and the account of every one of them.
import { html, useEffect, useMemo, useState } from "./html.js";
import { call, parent, post, useGet } from "./api.js";
import { bytes, number, percent, stateOf } from "./format.js";
import { address, setQuery } from "./state.js";
import { has, t } from "./texts.js";
import {
  Button, CodeBlock, Facts, Figures, Lasting, Loaded, Note, PageHead, Problem, Progress, Search, Section, Select, Skeleton, StateMark,
  Table, Time, useAction,
} from "./parts.js";

const LIVE_MS = 1500;
const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);

export default function DataSet({ route }) {
  const [, location, id] = route.parts;
  const path = `${parent(location)}/datasetBuildJobs/${encodeURIComponent(id)}`;
  const [live, setLive] = useState(true);
  const found = useGet(path, { every: live ? LIVE_MS : 0 });
  const state = stateOf(found.data?.state);
  useEffect(() => {
    if (ENDED.has(state)) setLive(false);
  }, [state]);
  return html`<${Loaded} of=${found} lines=${8}>${(job) => html`<${Shown} job=${job} path=${path} reload=${found.reload} route=${route} />`}<//>`;
}

function Shown({ job, path, reload, route }) {
  const state = stateOf(job.state);
  const [run, busy] = useAction();
  const out = job.outputInfo ?? {};
  const tune = out.trainingDataUri && address("/create", { dataset: out.trainingDataUri, evaluation: out.evaluationDataUri ?? "" });
  return html`<${PageHead} title=${job.displayName} crumbs=${[{ label: t("datasets.title"), to: "/datasets" }]}
      note=${html`<${StateMark} state=${state} /><span><${Time} at=${job.createTime} /></span>
        <span><${Lasting} from=${job.startTime} to=${job.endTime} /></span>`}
      actions=${html`
        ${!ENDED.has(state) && html`<${Button} icon="stop" busy=${busy} disabled=${state === "CANCELLING"}
          onClick=${() => run(() => post(`${path}:cancel`, {}).then(reload), t("datasets.cancelling"))}>${t("datasets.cancel")}<//>`}
        ${out.reportUri && html`<a class="button plain" href=${downloadOf(out.reportUri)} download="report.html">${t("dataset.report")}</a>`}
        ${tune && html`<${Button} kind="primary" icon="create" to=${tune}>${t("datasets.tune")}<//>`}`} />
    ${job.error && html`<${Problem} title=${t("dataset.failed")} error=${{ message: job.error.message, violations: [] }} />`}
    ${job.progress && html`<${Running} progress=${job.progress} />`}
    ${job.statistics && html`<${Counted} statistics=${job.statistics} />`}
    <${Section} title=${t("dataset.source")}><${Facts} rows=${[
      [t("build.repository"), job.codebaseSource?.repository],
      [t("build.revision"), job.statistics?.source?.revision || job.codebaseSource?.revision],
      [t("build.policy"), job.options?.licencePolicy],
      [t("build.kinds"), (job.options?.kinds ?? []).join(", ")],
      [t("dataset.folder"), out.gcsOutputDirectory],
      [t("dataset.manifest"), job.statistics?.manifestSha256],
    ]} />
    ${out.trainingDataUri && html`<${CodeBlock} label=${t("dataset.objects")} code=${Object.values(out).join("\n")} />`}<//>
    ${out.ledgerUri && html`<${Ledger} uri=${out.ledgerUri} query=${route.query} />`}`;
}

function Running({ progress }) {
  const { phase, done, total } = progress;
  const share = total ? done / total : null;
  return html`<${Section} title=${t("dataset.now")}>
    <p>${phase}${total ? html` <span class="muted">${number(done)} / ${number(total)} (${percent(share, 0)})</span>` : ""}</p>
    <${Progress} value=${share} label=${t("datasets.progress")} /><//>`;
}

const sum = (counts) => Object.values(counts ?? {}).reduce((all, one) => all + one, 0);

function Counted({ statistics }) {
  const { files, rows, rejectedByReason: reasons, languages, licences, redactions, notes } = statistics;
  return html`
    <${Figures} items=${[
      { label: t("dataset.training"), value: number(sum(rows.training)), note: kindsOf(rows.training) },
      { label: t("dataset.evaluation"), value: number(sum(rows.evaluation)), note: kindsOf(rows.evaluation) },
      { label: t("dataset.used"), value: number(files.used ?? 0), note: t("dataset.of.files", { total: number(files.total) }) },
      { label: t("dataset.bytes"), value: bytes(statistics.usedBytes) },
      { label: t("dataset.redacted"), value: number(sum(redactions)), note: Object.keys(redactions ?? {}).slice(0, 3).join(", ") },
    ]} />
    ${(notes ?? []).map((note) => html`<${Note} kind="warning" key=${note}>${note}<//>`)}
    <div class="bars-beside">
      <${Bars} title=${t("dataset.reasons")} counts=${reasons} />
      <${Bars} title=${t("dataset.languages")} counts=${languages} accent />
      <${Bars} title=${t("dataset.licences")} counts=${licences} accent />
    </div>`;
}

const kindsOf = (counts) =>
  Object.entries(counts ?? {}).map(([kind, count]) => `${number(count)} ${has(`kind.${kind}`) ? t(`kind.${kind}`) : kind}`).join(", ");

const MOST_BARS = 12;

/** How often each of a few things is, as bars with their figures. */
function Bars({ title, counts, accent = false }) {
  const all = Object.entries(counts ?? {}).filter(([, count]) => typeof count === "number").sort(([, a], [, b]) => b - a);
  if (all.length === 0) return null;
  const most = all[0][1];
  const shown = all.slice(0, MOST_BARS);
  const rest = all.slice(MOST_BARS);
  return html`<${Section} title=${title}><ul class=${`bars${accent ? " accent" : ""}`}>
    ${shown.map(([name, count]) => html`<li key=${name}><span class="what">${name || t("dataset.unknown")}</span><span class="much">${number(count)}</span>
      <span class="bar" style=${{ width: `${(count / most) * 100}%` }}></span></li>`)}
    ${rest.length > 0 && html`<li class="muted"><span class="what">${t("dataset.more", { count: number(rest.length) })}</span>
      <span class="much">${number(rest.reduce((all_, [, count]) => all_ + count, 0))}</span></li>`}
  </ul><//>`;
}

// The ledger: a line a file, read whole once (40 MB for 200,000 files), filtered here.

function downloadOf(uri) {
  const [, , bucket, ...name] = uri.split("/");
  return `/download/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(name.join("/"))}?alt=media`;
}

function Ledger({ uri, query }) {
  const [lines, setLines] = useState(null);
  const [error, setError] = useState(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setError(null);
    call("GET", downloadOf(uri), { raw: true, signal: abort.signal })
      .then((answer) => answer.text())
      .then((text) => setLines(text.split("\n").filter(Boolean).map((line) => JSON.parse(line))))
      .catch((wrong) => wrong.name !== "AbortError" && setError(wrong));
    return () => abort.abort();
  }, [uri, turn]);
  const { path = "", reason = "", lang = "" } = query;
  const shown = useMemo(() => {
    const wanted = path.toLowerCase();
    return (lines ?? []).filter((line) => (!reason || (line.reason || "used") === reason) && (!lang || line.language === lang)
      && (!wanted || line.path.toLowerCase().includes(wanted)));
  }, [lines, path, reason, lang]);
  const choices = (name, of) => [...new Set((lines ?? []).map(of))].filter(Boolean).sort().map((value) => ({ value, label: value }));
  return html`<${Section} title=${t("dataset.ledger")}>
    ${error && html`<${Problem} error=${error} retry=${() => setTurn(turn + 1)} />`}
    ${!lines && !error && html`<${Skeleton} />`}
    ${lines && html`<div class="tools">
        <${Search} value=${path} onInput=${(text) => setQuery({ path: text })} label=${t("dataset.ledger.search")} />
        <${Select} aria-label=${t("dataset.reason")} value=${reason} onChange=${(value) => setQuery({ reason: value })}
          options=${[{ value: "", label: t("dataset.reason.all") }, ...choices("reason", (line) => line.reason || "used")]} />
        <${Select} aria-label=${t("dataset.language")} value=${lang} onChange=${(value) => setQuery({ lang: value })}
          options=${[{ value: "", label: t("dataset.language.all") }, ...choices("lang", (line) => line.language)]} />
        <span class="muted" role="status">${t("dataset.ledger.count", { shown: number(shown.length), total: number(lines.length) })}</span>
      </div>
      ${shown.length > 0 && html`<${Table} label=${t("dataset.ledger")} rows=${shown} keyOf=${(line) => line.path} columns=${LEDGER()} cardHeight=${150} />`}`}
  <//>`;
}

const LEDGER = () => [
  { id: "path", label: t("dataset.path"), width: "minmax(180px, 3fr)", render: (line) => html`<span title=${line.path}>${line.path}</span>` },
  { id: "status", label: t("dataset.reason"), width: "minmax(120px, 1.4fr)",
    render: (line) => html`<span title=${line.detail}>${line.reason || t("dataset.is.used")}${line.detail && html` <span class="muted">${line.detail}</span>`}</span>` },
  { id: "language", label: t("dataset.language"), width: "minmax(80px, 0.8fr)", render: (line) => line.language },
  { id: "licence", label: t("dataset.licence"), hide: true, width: "minmax(90px, 0.9fr)", render: (line) => line.licence },
  { id: "rows", label: t("datasets.rows"), align: "end", width: "minmax(56px, 0.5fr)", render: (line) => number(sum(line.examples)) },
  { id: "bytes", label: t("datasets.size"), align: "end", width: "minmax(72px, 0.6fr)", render: (line) => bytes(line.bytes) },
];
