// One job: a tuning job as it runs and what came of it; a batch prediction job in short; a build of data at its own page.
import { html, useEffect, useRef, useState } from "./html.js";
import { connection, events, parent, post, remove, useGet } from "./api.js";
import { duration, figure, nameOf, number, percent, stateOf } from "./format.js";
import { address, go, project, session, setQuery, useValue } from "./state.js";
import { has, t } from "./texts.js";
import {
  Button, Confirm, Empty, Facts, Figures, Lasting, Link, Loaded, Note, PageHead, Problem, Progress, Section, StateMark,
  Tabs, Time, toast, useAction,
} from "./parts.js";
import { Curves, useCurves } from "./job_curves.js";
import { Log } from "./job_log.js";
import { Data, Parameters, Request, Results } from "./job_result.js";

const OFTEN_MS = 4000;
const RARELY_MS = 20000;
const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);
const RESTING = new Set([...ENDED, "PAUSED"]);
const TABS = ["overview", "results", "data", "parameters", "log", "request"];

/** Whether the page says it itself: that the server is away is said above every page. */
const told = (error) => error && error.status !== "UNREACHABLE";

/** A word for something that the server names; its own word where there is no text for it. */
export const word = (prefix, name) => (has(`${prefix}.${name}`) ? t(`${prefix}.${name}`) : name);

export default function JobPage({ route }) {
  const [, location, id, ...more] = route.parts;
  if (!id || more.length) return html`<${Missing} text=${t("frame.nowhere.text", { path: route.path })} />`;
  // The ids of tuning jobs begin with a letter, all others are numbers.
  const Found = /^\d+$/.test(id) ? OtherJob : TuningJob;
  return html`<${Found} location=${location} id=${id} query=${route.query} />`;
}

function Missing({ text }) {
  return html`<${PageHead} title=${t("job.missing")} crumbs=${CRUMBS()} />
    <${Empty} icon="jobs" title=${t("job.missing")} text=${text}>
      <${Button} to="/jobs" kind="primary">${t("job.all")}<//><//>`;
}

const CRUMBS = () => [{ label: t("jobs.title"), to: "/jobs" }];

/** The problem in the place of a page: that there is no such job, or another. */
function Unfound({ of }) {
  if (of.error.http === 404) return html`<${Missing} text=${of.error.message} />`;
  return html`<${PageHead} title=${t("job.title")} crumbs=${CRUMBS()} /><${Problem} error=${of.error} retry=${of.reload} />`;
}

// A tuning job.

function TuningJob({ location, id, query }) {
  const path = `${parent(location)}/pipelineJobs/${encodeURIComponent(id)}`;
  const [every, setEvery] = useState(OFTEN_MS);
  const job = useGet(path, { every });
  const report = useGet(`${path}:report`);
  const state = stateOf(job.data?.state);
  const resting = RESTING.has(state);
  useEffect(() => setEvery(resting ? RARELY_MS : OFTEN_MS), [resting]);
  const curves = useCurves(path, query);
  const watch = useWatch(path, job.data !== null && !resting, { job, report, curves });
  useEffect(() => {
    // What was measured last, and all that the end brings, whatever a lost connection has kept back.
    if (!resting) return;
    report.reload();
    curves.ask();
  }, [resting, state]);
  if (!job.data) return job.error ? html`<${Unfound} of=${job} />` : html`<${PageHead} title=${t("job.title")} crumbs=${CRUMBS()} />
    <${Loaded} of=${job} lines=${10} />`;
  const tab = TABS.includes(query.tab) ? query.tab : "overview";
  const shared = { job: job.data, state, report, path, watch, curves, query, location, id };
  return html`<${Head} ...${shared} reload=${job.reload} />
    ${told(job.error) && html`<${Problem} error=${job.error} retry=${job.reload} />`}
    <${Trouble} ...${shared} />
    <${Standing} ...${shared} />
    <${Tabs} label=${t("job.parts")} current=${tab} onChange=${(next) => setQuery({ tab: next === "overview" ? "" : next })}
      tabs=${TABS.map((name) => ({ id: name, label: t(`job.tab.${name}`) }))} />
    <div role="tabpanel" aria-label=${t(`job.tab.${tab}`)} class="job-part">
      ${tab === "overview" && html`<${Curves} curves=${curves} marks=${marksOf(shared)} query=${query} resting=${resting} />
        <${Tasks} ...${shared} />`}
      ${tab === "results" && html`<${Loaded} of=${report}>${(data) => html`<${Results} report=${data} state=${state} />`}<//>`}
      ${tab === "data" && html`<${Loaded} of=${report}>${(data) => html`<${Data} report=${data} state=${state} />`}<//>`}
      ${tab === "parameters" && html`<${Loaded} of=${report}>${(data) => html`<${Parameters} report=${data} query=${query} />`}<//>`}
      ${tab === "log" && html`<${Log} path=${path} query=${query} written=${watch.written} resting=${resting} />`}
      ${tab === "request" && html`<${Loaded} of=${report}>${(data) => html`<${Request} job=${job.data} report=${data} />`}<//>`}
    </div>`;
}

/** Follows the job while it runs: {progress, connection, written (counts what was added to a log)}. */
function useWatch(path, running, { job, report, curves }) {
  const [progress, setProgress] = useState(null);
  const [connection, setConnection] = useState("ended");
  const [written, setWritten] = useState(0);
  const latest = useRef({});
  latest.current = { job, report, curves };
  useEffect(() => {
    if (!running) {
      setProgress(null);
      return undefined;
    }
    let timer = 0;
    // One look of the server may tell of many changes: they are looked at together.
    const changed = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        latest.current.job.reload();
        latest.current.report.reload();
      }, 150);
    };
    const hear = {
      progress: setProgress,
      metrics: (line) => latest.current.curves.add(line),
      log: () => setWritten((before) => before + 1),
      state: changed,
    };
    const opened = (now) => {
      setConnection(now);
      if (now === "open") latest.current.curves.ask();
    };
    const source = events(`${path}:watch?news=true`, Object.keys(hear), (kind, data) => hear[kind](data), opened);
    return () => {
      clearTimeout(timer);
      source.close();
    };
  }, [path, running]);
  return { progress, connection, written };
}

function Head({ job, state, location, id, watch, reload }) {
  const [deleting, setDeleting] = useState(false);
  const [run, busy] = useAction();
  const reached = useValue(connection) === "there";
  const own = job.tunesmith ?? {};
  const ended = RESTING.has(state) && state !== "PAUSED";
  const may = session.get()?.principal?.role !== "viewer";
  const cancel = () => run(() => post(`/v1/${job.name}:cancel`, {}).then(reload), t("jobs.cancelling"));
  const note = html`<${StateMark} state=${state} note=${own.queuePosition ? t("jobs.waits", { place: number(own.queuePosition) }) : ""} />
    <span>${own.reference || baseName(own.baseModel)}</span>
    <span>${location}</span>
    ${own.owner && html`<span>${t("job.owner", { name: own.owner })}</span>`}
    <span>${t("jobs.created")} <${Time} at=${job.createTime} /></span>
    ${watch.connection === "waiting" && reached && html`<span class="job-waiting">${t("job.waiting")}</span>`}`;
  const compare = address("/compare", { jobs: `${location}/${id}` });
  const actions = html`
    ${own.model && html`<${Button} kind="primary" icon="try" to=${address("/try", { model: own.model })}>${t("job.try")}<//>`}
    ${may && html`<${Button} icon="copy" to=${address("/create", { from: `${location}/${id}` })}>${t("jobs.clone")}<//>`}
    <${Button} icon="compare" to=${compare}>${t("nav.compare")}<//>
    ${may && (ended ? html`<${Button} kind="danger" icon="trash" onClick=${() => setDeleting(true)}>${t("jobs.delete")}<//>`
      : html`<${Button} kind="danger" icon="stop" busy=${busy} disabled=${state === "CANCELLING"} onClick=${cancel}>${t("jobs.cancel")}<//>`)}`;
  return html`<${PageHead} title=${job.displayName || id} crumbs=${CRUMBS()} note=${note} actions=${actions} />
    <p class="hidden" aria-live="polite">${t("job.now", { state: word("state", state) })}</p>
    ${deleting && html`<${Confirm} title=${t("jobs.delete.title", { name: job.displayName || id })} text=${t("jobs.delete.text")}
      action=${t("jobs.delete")} onClose=${() => setDeleting(false)} onYes=${async () => {
        await remove(`/v1/${job.name}`);
        toast(t("job.deleted"));
        go("/jobs", { project: project() });
      }} />`}`;
}

const baseName = (base = "") => (base.startsWith("/") ? base.split("/").filter(Boolean).pop() : base);

/** Why it failed and how to go on; that it rests. */
function Trouble({ job, state, id }) {
  const error = job.tunesmith?.error;
  const findings = error?.details?.findings ?? [];
  const key = project() === "local" ? id : `${project()}.${id}`;
  const mayResume = state === "PAUSED" || (state === "FAILED" && error?.status !== "INVALID_ARGUMENT");
  return html`
    ${state === "FAILED" && error && (findings.length > 0 ? html`<${Findings} findings=${findings} message=${error.message} />`
      : html`<${Problem} error=${{ message: error.message }} title=${t("job.failed", { task: word("job.task", error.details?.task ?? "") })} />`)}
    ${mayResume && html`<${Note}><p>${t(state === "PAUSED" ? "job.resume.paused" : "job.resume.failed")}</p>
      <p><code>tunesmith jobs resume ${key}</code></p><//>`}
    ${state === "SUCCEEDED" && job.tunesmith?.model && html`<${Made} model=${job.tunesmith.model} />`}`;
}

function Made({ model }) {
  const { location, id } = nameOf(model);
  return html`<${Note} kind="good">${t("job.made")} <${Link} to=${`/models/${location}/${id}`}>${model}<//><//>`;
}

const MOST_FINDINGS = 20;

function Findings({ findings, message }) {
  const more = /and ([\d,]+) more$/.exec(message)?.[1];
  const total = Math.max(findings.length, more ? 5 + Number(more.replaceAll(",", "")) : 0);
  return html`<div class="problem job-findings" role="alert"><div>
    <p><strong>${t("job.findings", { count: number(total) })}</strong></p>
    <p>${t("job.findings.text")}</p>
    <div class="scroll" tabindex="0" aria-label=${t("job.findings", { count: number(total) })}><table><thead><tr><th scope="col">${t("job.line")}</th>
      <th scope="col">${t("job.finding")}</th><th scope="col">${t("job.remedy")}</th></tr></thead><tbody>
      ${findings.slice(0, MOST_FINDINGS).map((one, place) => html`<tr key=${place}><td>${number(one.line)}</td>
        <td>${one.field && html`<code>${one.field}</code>`} ${one.message}</td><td>${one.remedy}</td></tr>`)}
    </tbody></table></div>
    ${total > MOST_FINDINGS && html`<p class="muted">${t("job.findings.more", { count: number(MOST_FINDINGS) })}</p>`}
  </div></div>`;
}

/** The figures in a row, and what is being done now. */
function Standing({ job, state, report, watch, curves }) {
  const own = job.tunesmith ?? {};
  const said = watch.progress ?? {};
  const training = report.data?.training;
  const inTune = said.task === "tune";
  const lives = !RESTING.has(state);
  // An attempt that has only begun says no step of its own.
  const step = (inTune ? said.step : null) ?? own.step ?? (lives ? curves.data?.lastStep || null : null);
  const left = (inTune ? said.seconds_left : null) ?? own.secondsLeft;
  const speed = (inTune ? said.tokens_per_s : null) ?? own.tokensPerSecond;
  const [chip, ...details] = (own.device ?? training?.device ?? "").split(", ");
  const pool = report.data?.parameters?.find(({ name }) => name === "accelerator_type")?.value;
  const ranks = training?.ranks > 1 ? `${number(training.ranks)} \u00d7 ` : "";
  return html`<${Figures} items=${[
    { label: t("jobs.steps"), value: step == null || step === own.steps ? number(own.steps) : `${number(step)} / ${number(own.steps)}`,
      note: [own.stoppedEarly && t("job.stopped"), training?.epochs && t("job.epochs", { count: number(training.epochs, 1) })].filter(Boolean).join(", ") },
    lives && left != null ? { label: t("job.left"), value: duration(left), note: html`${t("job.so.far")} <${Lasting} from=${job.startTime} />` }
      : { label: t("jobs.lasting"), value: job.startTime ? html`<${Lasting} from=${job.startTime} to=${job.endTime} />` : "",
        note: job.endTime ? html`${t("job.ended")} <${Time} at=${job.endTime} />` : job.startTime ? html`${t("job.started")} <${Time} at=${job.startTime} />` : "" },
    { label: t("job.accuracy"), value: percent(own.bestAccuracy), note: own.bestLoss == null ? "" : t("job.loss.of", { loss: figure(own.bestLoss) }) },
    { label: t("job.speed"), value: speed == null ? "" : number(speed), note: speed == null ? "" : t("job.tokens.second") },
    { label: t("job.device"), value: chip ? `${ranks}${chip}` : pool && t("job.pool", { name: pool }),
      note: chip ? [...details, pool && t("job.pool", { name: pool })].filter(Boolean).join(", ") : "" },
  ]} />
  ${lives && html`<${Now} said=${said} state=${state} />`}`;
}

function Now({ said, state }) {
  if (!said.task) return html`<div class="job-now"><p class="muted">${t(state === "QUEUED" ? "job.queued" : "job.starting")}</p></div>`;
  const evaluating = said.phase === "evaluating" && said.to_evaluate > 0 && said.evaluated < said.to_evaluate;
  const [done, total] = evaluating ? [said.evaluated, said.to_evaluate] : [said.step, said.steps];
  const what = said.message || word("job.phase", evaluating || said.phase !== "evaluating" ? said.phase ?? "starting" : "training");
  const facts = [
    total > 0 && done != null && `${number(done)} / ${number(total)}`,
    said.loss != null && t("job.loss.of", { loss: figure(said.loss) }),
    said.accuracy != null && t("job.accuracy.of", { accuracy: percent(said.accuracy) }),
  ].filter(Boolean);
  return html`<div class="job-now">
    <p><strong>${word("job.task", said.task)}</strong>${said.attempt > 1 && html` <span class="muted">${t("job.attempt", { number: said.attempt })}</span>`}
      <span>${what}</span> <span class="muted">${facts.join(", ")}</span></p>
    <${Progress} value=${total > 0 && done != null ? done / total : null} label=${`${word("job.task", said.task)}: ${what}`} /></div>`;
}

function marksOf({ report, job, curves }) {
  const training = report.data?.training;
  if (training) {
    const taken = training.selectedStep;
    if (training.stoppedEarly && training.steps === taken) return [{ step: taken, label: t("job.mark.both") }];
    return [
      taken != null && { step: taken, label: t("job.mark.taken") },
      training.stoppedEarly && { step: training.steps, label: t("job.mark.stopped") },
    ].filter(Boolean);
  }
  const loss = curves.data?.series.eval_total_loss;
  if (!loss || loss.steps.length < 2 || job.tunesmith?.selectedStep != null) return [];
  const best = loss.values.indexOf(Math.min(...loss.values));
  return [{ step: loss.steps[best], label: t("job.mark.best") }];
}

// The tasks, in their order.

function Tasks({ report, state, job }) {
  const data = report.data?.tasks ?? (job.tunesmith?.tasks ?? []).map((task) => ({ ...task, attempts: [] }));
  return html`<${Section} title=${t("job.tasks")}>
    ${told(report.error) && html`<${Problem} error=${report.error} retry=${report.reload} />`}
    <ol class="job-tasks">${data.map((task) => html`<${Task} key=${task.name} task=${task} jobState=${state} />`)}</ol><//>`;
}

// The others are done by the worker itself.
const PRINT = new Set(["validate-dataset", "tune", "evaluate"]);

function Task({ task, jobState }) {
  const attempts = task.attempts ?? [];
  const state = task.state === "RUNNING" && jobState === "CANCELLING" ? "CANCELLING" : task.state;
  return html`<li class=${`job-task ${state.toLowerCase()}`}>
    <h3>${word("job.task", task.name)}</h3>
    <p class="muted">${word("job.task.note", task.name)}</p>
    <p><${StateMark} state=${state} /></p>
    ${task.startTime && html`<p class="muted"><${Lasting} from=${task.startTime} to=${task.endTime} />${" "}\u00b7 <${Time} at=${task.startTime} /></p>`}
    ${attempts.length > 0 && PRINT.has(task.name) && html`<p><${Link} to=${address(window.location.pathname, { tab: "log", task: task.name })}>${t("job.tab.log")}<//></p>`}
    ${attempts.length > 1 && html`<details><summary>${t("job.attempts", { count: number(attempts.length) })}</summary><ol class="job-attempts">
      ${attempts.map((one) => html`<li key=${one.attempt}>
        <p><strong>${t("job.attempt", { number: one.attempt })}</strong> ${one.outcome ? word("job.outcome", one.outcome) : t("state.RUNNING")}
          ${" "}<span class="muted"><${Lasting} from=${one.startTime} to=${one.endTime} /></span></p>
        ${one.step > 0 && html`<p class="muted">${t("job.until", { step: number(one.step) })}</p>`}
        ${one.error?.message && html`<p class="said">${one.error.message}</p>`}
        <p><${Link} to=${address(window.location.pathname, { tab: "log", task: task.name, attempt: one.attempt })}>${t("job.tab.log")}<//></p></li>`)}
      </ol></details>`}
  </li>`;
}

// Other jobs.

/** A job whose id is a number: of batch prediction, or of building data, which has a page of its own. */
function OtherJob({ location, id }) {
  const path = `${parent(location)}/batchPredictionJobs/${id}`;
  const [every, setEvery] = useState(OFTEN_MS);
  const job = useGet(path, { every });
  const missing = job.error?.http === 404 && !job.data;
  const build = useGet(missing ? `${parent(location)}/datasetBuildJobs/${id}` : null);
  const state = stateOf(job.data?.state);
  useEffect(() => {
    if (build.data) go(`/datasets/builds/${location}/${id}`, {}, { replace: true });
  }, [build.data]);
  useEffect(() => setEvery(ENDED.has(state) || missing ? RARELY_MS : OFTEN_MS), [state, missing]);
  if (job.data) return html`<${BatchJob} job=${job.data} state=${state} error=${job.error} id=${id} reload=${job.reload} location=${location} />`;
  if (missing ? build.error : job.error) return html`<${Unfound} of=${job} />`;
  return html`<${PageHead} title=${t("job.title")} crumbs=${CRUMBS()} /><${Loaded} of=${{ data: null, error: null }} lines=${8} />`;
}

function BatchJob({ job, state, error, id, location, reload }) {
  const [deleting, setDeleting] = useState(false);
  const [run, busy] = useAction();
  const may = session.get()?.principal?.role !== "viewer";
  const stats = job.completionStats;
  const [good, bad, rest] = ["successful", "failed", "incomplete"].map((name) => (stats ? Number(stats[`${name}Count`] ?? 0) : null));
  const total = stats ? good + bad + rest : null;
  const model = nameOf(job.model);
  const cancel = () => run(() => post(`/v1/${job.name}:cancel`, {}).then(reload), t("jobs.cancelling"));
  const input = job.inputConfig?.gcsSource?.uris ?? [];
  return html`<${PageHead} title=${job.displayName || id} crumbs=${CRUMBS()} note=${html`<${StateMark} state=${state} />
      <span>${t("job.batch")}</span><span>${location}</span><span>${t("jobs.created")} <${Time} at=${job.createTime} /></span>`}
      actions=${may && (ENDED.has(state) ? html`<${Button} kind="danger" icon="trash" onClick=${() => setDeleting(true)}>${t("jobs.delete")}<//>`
        : html`<${Button} kind="danger" icon="stop" busy=${busy} disabled=${state === "CANCELLING"} onClick=${cancel}>${t("jobs.cancel")}<//>`)} />
    <p class="hidden" aria-live="polite">${t("job.now", { state: word("state", state) })}</p>
    ${told(error) && html`<${Problem} error=${error} retry=${reload} />`}
    ${state === "FAILED" && job.error && html`<${Problem} error=${{ message: job.error.message }} />`}
    <${Figures} items=${[
      { label: t("job.batch.done"), value: number(good) }, { label: t("job.batch.failed"), value: number(bad) },
      { label: t("job.batch.open"), value: number(rest) },
      { label: t("jobs.lasting"), value: job.startTime ? html`<${Lasting} from=${job.startTime} to=${job.endTime} />` : "" },
    ]} />
    ${!ENDED.has(state) && html`<div class="job-now"><${Progress} value=${total ? (good + bad) / total : null} label=${t("job.batch.done")} /></div>`}
    <${Section} title=${t("job.batch.what")}><${Facts} rows=${[
      [t("job.batch.model"), model.kind === "models" && model.project !== "google" ? html`<${Link} to=${`/models/${model.location}/${model.id}`}>${job.model}<//>` : job.model],
      [t("job.batch.input"), input.map((uri) => html`<div key=${uri}><code>${uri}</code></div>`)],
      [t("job.batch.output"), html`<code>${job.outputInfo?.gcsOutputDirectory ?? job.outputConfig?.gcsDestination?.outputUriPrefix}</code>`],
      [t("job.ended"), job.endTime && html`<${Time} at=${job.endTime} />`],
    ]} /><//>
    ${job.partialFailures?.length > 0 && html`<${Section} title=${t("job.batch.failures")}><ul class="job-failures">
      ${job.partialFailures.map((one, place) => html`<li key=${place} class="said">${one.message}</li>`)}</ul><//>`}
    ${deleting && html`<${Confirm} title=${t("jobs.delete.title", { name: job.displayName || id })} text=${t("job.batch.delete")}
      action=${t("jobs.delete")} onClose=${() => setDeleting(false)} onYes=${async () => {
        await remove(`/v1/${job.name}`);
        toast(t("job.deleted"));
        go("/jobs", { project: project() });
      }} />`}`;
}
