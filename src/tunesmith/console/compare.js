// Up to eight tuning jobs beside each other: curves in one picture, what differs, scores, answers, time.
import { html, useEffect, useMemo, useState } from "./html.js";
import { get } from "./api.js";
import { Icon } from "./icons.js";
import { duration, figure, nameOf, number, percent, stateOf } from "./format.js";
import { project, setQuery } from "./state.js";
import { has, t } from "./texts.js";
import {
  Button, Check, Dialog, Empty, IconButton, Lasting, Link, Note, PageHead, Problem, Progress, Section, Select, Skeleton, StateMark,
} from "./parts.js";
import { ENDED, MOST_COMPARED, placeOf } from "./jobs.js";
import { Answers } from "./compare_answers.js";
import { Curves, Swatch } from "./compare_curves.js";
import { Chooser } from "./compare_chooser.js";

const LIVE_MS = 3000;
const POINTS = 1000;
const CURVES = [
  "train_total_loss", "train_fraction_of_correct_next_step_preds", "eval_total_loss", "eval_fraction_of_correct_next_step_preds",
];
const LONG = 60;
const LETTERS = "ABCDEFGH";
const REFUSED = new Set([400, 403, 404]);

export default function Compare({ route }) {
  const { chosen, tooMany } = useMemo(() => chosenOf(route.query.jobs), [route.query.jobs, route.query.project]);
  const [found, retry] = useCompared(chosen);
  const [choosing, setChoosing] = useState(false);
  const jobs = useMemo(() => chosen.map((short, place) => ({
    short, place, letter: LETTERS[place], name: fullName(short), ...found[fullName(short)],
  })), [chosen, found]);
  const choose = (next) => {
    setQuery({ jobs: next.join(","), against: next.includes(route.query.against) ? route.query.against : "" });
    setChoosing(false);
  };
  // What had the focus goes with the choice; the heading gets it.
  const chooseHere = (next) => {
    choose(next);
    setTimeout(() => document.querySelector("h1")?.focus());
  };
  const seen = jobs.filter(({ report }) => report);
  const head = html`<${PageHead} title=${t("compare.title")} note=${t("compare.note")} actions=${chosen.length > 0 && html`
    <${Button} icon="create" onClick=${() => setChoosing(true)}>${t("compare.choose")}<//>`} />`;
  if (chosen.length === 0) {
    return html`${head}<${Section} title=${t("compare.choose.title", { most: MOST_COMPARED })}>
      <${Chooser} chosen=${chosen} most=${MOST_COMPARED} onChosen=${chooseHere} /><//>`;
  }
  return html`${head}
    ${tooMany && html`<${Note} kind="warning">${t("compare.too.many", { most: MOST_COMPARED })}<//>`}
    <ul class="compared" aria-label=${t("compare.jobs")}>${jobs.map((job) => html`<${Entry} key=${job.name} job=${job} retry=${retry}
      onRemove=${() => chooseHere(chosen.filter((short) => short !== job.short))} />`)}</ul>
    ${chosen.length === 1 && html`<${Note}>${t("compare.one.more")}<//>`}
    ${seen.length === 0 && jobs.some(({ error }) => !error) && html`<${Skeleton} lines=${8} />`}
    ${seen.length > 0 && html`
      <${Curves} jobs=${seen} query=${route.query} />
      <${Scores} jobs=${seen} against=${route.query.against ?? ""} />
      <${Parameters} jobs=${seen} every=${route.query.every === "1"} />
      <${Times} jobs=${seen} />
      <${Answers} jobs=${seen} onlyDifferent=${route.query.differ === "1"} />`}
    ${choosing && html`<${Dialog} wide title=${t("compare.choose.title", { most: MOST_COMPARED })} onClose=${() => setChoosing(false)}>
      <${Chooser} chosen=${chosen} most=${MOST_COMPARED} onChosen=${choose} /><//>`}`;
}

function chosenOf(text = "") {
  const every = [...new Set(text.split(",").filter((short) => /^[^/]+\/[^/]+$/.test(short)))];
  return { chosen: every.slice(0, MOST_COMPARED), tooMany: every.length > MOST_COMPARED };
}

function fullName(short) {
  const [location, id] = short.split("/");
  return `projects/${project()}/locations/${location}/pipelineJobs/${id}`;
}

/** Everything about each job, asked for again until it has ended: by name {job, report, series, lastStep, error}. */
function useCompared(chosen) {
  const [found, setFound] = useState({});
  const [turn, setTurn] = useState(0);
  const key = chosen.map(fullName).join(",");
  useEffect(() => {
    const names = key ? key.split(",") : [];
    const abort = new AbortController();
    const settled = new Set();
    let timer = 0;
    const one = async (name) => {
      const path = `/v1/${name.split("/").map(encodeURIComponent).join("/")}`;
      const { signal } = abort;
      try {
        const job = await get(path, { signal });
        const query = { names: CURVES.join(","), maxPoints: POINTS };
        const [report, measured] = await Promise.all([
          get(`${path}:report`, { signal }), get(`${path}:metrics`, { query, signal })]);
        if (ENDED.has(stateOf(job.state))) settled.add(name);
        setFound((before) => ({ ...before, [name]: { job, report, ...measured, error: null } }));
      } catch (error) {
        if (error.name === "AbortError") return;
        if (REFUSED.has(error.http)) settled.add(name);
        setFound((before) => ({ ...before, [name]: { ...before[name], error } }));
      }
    };
    const ask = async () => {
      await Promise.all(names.filter((name) => !settled.has(name)).map(one));
      if (!abort.signal.aborted && settled.size < names.length) timer = setTimeout(ask, document.hidden ? 5 * LIVE_MS : LIVE_MS);
    };
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, turn]);
  return [found, () => setTurn(turn + 1)];
}

// The jobs.

function Entry({ job, retry, onRemove }) {
  const { short, letter, place, error } = job;
  const own = job.job?.tunesmith ?? {};
  const state = stateOf(job.job?.state);
  const label = job.job?.displayName || nameOf(job.name).id;
  return html`<li>
    <header><${Swatch} place=${place} letter=${letter} />
      <${Link} to=${placeOf({ name: job.name })} class="name" title=${label}>${label}<//>
      <${IconButton} icon="close" label=${t("compare.remove", { name: label })} onClick=${onRemove} /></header>
    ${job.job ? html`<p><${StateMark} state=${state} /><span class="muted">${own.reference || own.baseModel}</span></p>
      ${state === "RUNNING" && own.steps > 0 && html`<${Progress} value=${(own.step ?? 0) / own.steps} label=${t("jobs.progress")} />`}
      ${job.job.error && html`<p class="said">${job.job.error.message}</p>`}`
      : !error && html`<${Skeleton} lines=${1} />`}
    ${error && (!job.job || REFUSED.has(error.http)) && html`<${Problem} error=${error} retry=${REFUSED.has(error.http) ? undefined : retry}
      title=${error.http === 404 ? t("compare.gone", { name: short }) : undefined} />`}
  </li>`;
}

/** Rows of values beside each other: jobs, groups [{label, rows: [{id, label, hint, cells: [content]}]}], label. */
function Matrix({ jobs, groups, label }) {
  return html`<div class="matrix" role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr><th scope="col"><span class="hidden">${label}</span></th>${jobs.map((job) => html`<th scope="col" key=${job.name} style=${{ width: `${100 / jobs.length}%` }}>
      <${Swatch} place=${job.place} letter=${job.letter} />
      <span class="name" title=${job.job.displayName}>${job.job.displayName || nameOf(job.name).id}</span></th>`)}</tr></thead>
    ${groups.map((group) => html`<tbody key=${group.label}>
      ${group.label && html`<tr class="group"><th scope="rowgroup" colspan=${jobs.length + 1}>${group.label}
        ${group.note && html`<span class="muted"> ${group.note}</span>`}</th></tr>`}
      ${group.rows.map((row) => html`<tr key=${row.id}><th scope="row" title=${row.hint}>${row.label}</th>
        ${row.cells.map((cell, place) => html`<td key=${jobs[place].name}>${cell}</td>`)}</tr>`)}
    </tbody>`)}</table></div>`;
}

// Scores.

const SCORES = {
  accuracy: { better: 1, share: true }, loss: { better: -1 },
  exact_match: { better: 1, share: true }, edit_similarity: { better: 1, share: true },
};

function Scores({ jobs, against }) {
  const scored = jobs.filter(({ report }) => report.evaluation?.tuned);
  if (scored.length === 0) {
    return html`<${Section} title=${t("compare.scores")}><p class="muted">${t("compare.scores.none")}</p><//>`;
  }
  const rival = scored.find(({ short }) => short === against) ?? null;
  const rows = (of) => Object.entries(SCORES).map(([name, kind]) => ({
    id: name, label: t(`compare.score.${name}`), ...kind, of: (report) => of(report, "tuned")?.[name], base: (report) => of(report, "base")?.[name],
  })).filter((row) => jobs.some(({ report }) => row.of(report) != null));
  const kinds = [...new Set(scored.flatMap(({ report }) => Object.keys(report.evaluation.kinds ?? {})))];
  const groups = [
    { label: t("compare.held.out"), rows: rows((report, model) => report.evaluation?.[model]) },
    ...kinds.map((kind) => ({
      label: has(`compare.kind.${kind}`) ? t(`compare.kind.${kind}`) : kind,
      rows: rows((report, model) => report.evaluation?.kinds?.[kind]?.[model]),
    })),
    { label: t("compare.general"), rows: [{
      id: "forgetting", label: t("compare.forgetting"), hint: t("compare.forgetting.hint"), better: -1, signed: true,
      of: (report) => report.evaluation?.forgetting?.change, interval: (report) => report.evaluation?.forgetting?.interval,
    }] },
  ];
  const drawn = groups.map((group) => ({ ...group, rows: group.rows.map((row) => ({ ...row, cells: cellsOf(row, jobs, rival) })) }));
  const options = [{ value: "", label: t("compare.against.base") },
    ...scored.map(({ short, letter, job }) => ({ value: short, label: `${letter} \u00b7 ${job.displayName}` }))];
  return html`<${Section} title=${t("compare.scores")} actions=${html`<label class="choice"><span>${t("compare.against")}</span>
      <${Select} value=${rival?.short ?? ""} options=${options} onChange=${(value) => setQuery({ against: value })} /></label>`}>
    <${Fairness} jobs=${scored} />
    <${Matrix} jobs=${jobs} groups=${drawn} label=${t("compare.scores")} />
  <//>`;
}

/** What makes the scores of these jobs no fair comparison. */
function Fairness({ jobs }) {
  const heldOut = new Set(jobs.map(({ report }) => (report.evaluation.heldOut ? report.data?.sha256?.evaluation : "training")));
  const unmeasured = jobs.filter(({ report }) => !report.evaluation.heldOut).map(({ letter }) => letter);
  const bases = new Set(jobs.map(({ job }) => job.tunesmith?.baseModel));
  return html`
    ${unmeasured.length > 0 && html`<${Note} kind="warning">${t("compare.no.held.out", { jobs: unmeasured.join(", ") })}<//>`}
    ${heldOut.size > 1 && html`<${Note} kind="warning">${t("compare.other.rows")}<//>`}
    ${bases.size > 1 && html`<${Note}>${t("compare.other.bases")}<//>`}`;
}

function cellsOf(row, jobs, rival) {
  const values = jobs.map(({ report }) => row.of(report) ?? null);
  const known = values.filter((value) => value != null);
  const best = known.length > 1 ? Math[row.better > 0 ? "max" : "min"](...known) : null;
  const tell = row.share ? percent : row.signed ? signed : lossOf;
  return jobs.map(({ report, short }, place) => {
    const value = values[place];
    if (value == null) return html`<span class="muted">\u2013</span>`;
    const from = rival ? row.of(rival.report) : row.base?.(report);
    const isRival = rival?.short === short;
    const interval = row.interval?.(report);
    return html`<span class=${value === best ? "value best" : "value"}>${tell(value)}
      ${value === best && html`<span class="mark"><${Icon} name="check" />${t("compare.best")}</span>`}</span>
      ${interval && html`<span class="muted">${signed(interval[0])} \u2026 ${signed(interval[1])}</span>`}
      ${isRival ? html`<span class="muted">${t("compare.measure")}</span>`
        : from != null && html`<${Delta} value=${value - from} row=${row} from=${rival ? null : tell(from)} />`}`;
  });
}

const lossOf = (value) => number(value, 3);
const signed = (value, digits = 3) => `${value > 0 ? "+" : value < 0 ? "\u2212" : "\u00b1"}${number(Math.abs(value), digits)}`;

function Delta({ value, row, from }) {
  const better = Math.sign(value) * row.better;
  const told = row.share ? t("compare.points", { value: signed(Number((value * 100).toFixed(1)), 1) }) : signed(value);
  const tone = better > 0 ? "good" : better < 0 ? "bad" : "muted";
  return html`<span class=${`delta ${tone}`} title=${from == null ? undefined : t("compare.base.was", { value: from })}>${told}
    <span class="hidden">${better ? t(better > 0 ? "compare.better" : "compare.worse") : ""}</span></span>`;
}

// Parameters.

function Parameters({ jobs, every }) {
  const rows = useMemo(() => parameterRows(jobs), [jobs]);
  const shown = every ? rows : rows.filter(({ differs }) => differs);
  return html`<${Section} title=${t("compare.parameters")} actions=${html`<${Check} label=${t("compare.every")} checked=${every}
      onChange=${(on) => setQuery({ every: on ? "1" : "" })} />`}>
    ${shown.length > 0 ? html`<${Matrix} jobs=${jobs} groups=${[{ label: "", rows: shown }]} label=${t("compare.parameters")} />`
      : html`<p class="muted">${t(jobs.length > 1 ? "compare.same" : "compare.same.one")}</p>`}
  <//>`;
}

function parameterRows(jobs) {
  const names = [...new Set(jobs.flatMap(({ report }) => report.parameters.map(({ name }) => name)))];
  const told = names.map((name) => {
    const each = jobs.map(({ report }) => report.parameters.find((one) => one.name === name) ?? {});
    return {
      id: name, hint: name, label: has(`compare.parameter.${name}`) ? t(`compare.parameter.${name}`) : name,
      differs: differ(each.map(({ value }) => value)),
      cells: each.map((one) => html`<${Setting} value=${one.value} isDefault=${one.isDefault} />`),
    };
  });
  const data = [
    ["batch", ({ report }) => report.batchSize],
    ["examples", ({ report }) => report.data?.examples],
    ["held.out", ({ report }) => report.data?.evaluationExamples],
    ["content", ({ report }) => report.data?.sha256?.training?.slice(0, 12)],
    ["parameters", ({ report }) => report.training?.parameters],
  ].map(([name, of]) => ({
    id: `made.${name}`, label: t(`compare.made.${name}`), differs: differ(jobs.map(of)),
    cells: jobs.map((job) => html`<${Setting} value=${of(job)} />`),
  })).filter((row) => jobs.some((_, place) => row.cells[place].props.value != null));
  return [...told, ...data];
}

const differ = (values) => new Set(values.map((value) => JSON.stringify(value ?? null))).size > 1;

function Setting({ value, isDefault = false }) {
  let told = value;
  if (value == null || value === "") told = "\u2013";
  else if (typeof value === "boolean") told = t(value ? "compare.yes" : "compare.no");
  else if (typeof value === "number") told = Number.isInteger(value) ? number(value) : figure(value);
  const long = String(told).length > LONG;
  return html`<span class=${long ? "setting long" : "setting"} title=${long ? told : undefined}>${told}</span>
    ${isDefault && html` <span class="muted">${t("compare.default")}</span>`}`;
}

// Time.

function Times({ jobs }) {
  const between = (from, to) => (from && to ? duration((new Date(to) - new Date(from)) / 1000) : "\u2013");
  const told = (value, how) => (value == null || value === "" ? "\u2013" : how(value));
  const rows = [
    ["waited", ({ job }) => (job.startTime ? between(job.createTime, job.startTime) : html`<${Lasting} from=${job.createTime} />`)],
    ["took", ({ job }) => (job.startTime ? html`<${Lasting} from=${job.startTime} to=${job.endTime} />` : "\u2013")],
    ["trained", ({ report }) => told(report.training?.seconds, duration)],
    ["devices", ({ report }) => told(report.training?.seconds, (spent) => duration(spent * (report.training.ranks ?? 1))), "compare.time.devices.hint"],
    ["speed", ({ job }) => told(job.tunesmith?.tokensPerSecond, (speed) => t("compare.per.second", { value: number(speed) }))],
    ["steps", ({ job }) => told(job.tunesmith?.step, (step) => `${number(step)} / ${number(job.tunesmith.steps)}`)],
    ["selected", ({ job }) => html`${told(job.tunesmith?.selectedStep, (step) => number(step))}
      ${job.tunesmith?.stoppedEarly && html`<span class="muted">${t("compare.stopped.early")}</span>`}`],
    ["epochs", ({ report }) => told(report.training?.epochs ?? report.data?.epochs, (epochs) => figure(epochs))],
    ["tokens", ({ report }) => told(report.training?.tokensSeen, (tokens) => number(tokens))],
    ["device", ({ report }) => told(report.training?.device, (device) => device)],
  ].map(([name, cell, hint]) => ({ id: name, label: t(`compare.time.${name}`), hint: hint && t(hint), cells: jobs.map(cell) }));
  return html`<${Section} title=${t("compare.times")}>
    <${Matrix} jobs=${jobs} groups=${[{ label: "", rows }]} label=${t("compare.times")} /><//>`;
}
