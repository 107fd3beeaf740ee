// Making a tuned model, step by step: details, data, evaluation, review. The step stands in the address, what was told in
// this tab's storage; nothing is sent before "Start tuning" but the data's check and the estimate.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { parent, post, useGet } from "./api.js";
import { Icon } from "./icons.js";
import { nameOf, number } from "./format.js";
import { address, go, project, session } from "./state.js";
import { t } from "./texts.js";
import { Button, Loaded, Note, PageHead, Problem, Skeleton, toast } from "./parts.js";
import { Evaluation, TrainingData } from "./create_data.js";
import { Details } from "./create_details.js";
import { Review, epochsText } from "./create_review.js";
import { ofEvaluation, useDataCheck } from "./data_check.js";
import {
  STEPS, baseOf, batchOf, blank, draftOf, fieldOf, kindOf, newSubmission, problemsOf, referenceOf, requestsOf, stepOf, stepsOf,
  takesEvaluation,
} from "./create_draft.js";

export default function Create({ route }) {
  const { from = "", dataset = "", evaluation = "" } = route.query;
  const key = `tunesmith.create ${project()} ${from} ${dataset} ${evaluation}`;
  const installation = useGet("/v1/installation");
  const buckets = useGet("/storage/v1/b", { query: { project: project() } });
  const [location, id] = from.split("/");
  // A draft that was kept needs the job no more, which may be gone by then.
  const job = useGet(id && !kept(key) ? `${parent(location)}/pipelineJobs/${encodeURIComponent(id)}` : null);
  const head = html`<${PageHead} title=${t(from ? "create.again" : "create.title")} note=${from && job.data
    ? t("create.from", { name: job.data.displayName || id }) : t("create.note")} />`;
  if (job.error && !job.data) {
    return html`${head}<${Problem} error=${job.error} retry=${job.reload} /><${Button} to="/create">${t("create.anew")}<//>`;
  }
  return html`<${Loaded} of=${installation} lines=${8}>${(facts) => {
    if ((job.loading && !job.data) || (buckets.loading && !buckets.data)) return html`${head}<${Skeleton} lines=${8} />`;
    return html`<${Wizard} key=${key} draftKey=${key} installation=${facts} buckets=${buckets.data?.items ?? []} head=${head}
      begin=${() => beginning(facts, job.data, { dataset, evaluation, buckets: buckets.data?.items ?? [] })} step=${stepIn(route.query.step)} />`;
  }}<//>`;
}

const stepIn = (said) => (STEPS.includes(said) ? said : STEPS[0]);

/** The draft as it is before anybody has told anything. */
function beginning(installation, job, { dataset, evaluation, buckets }) {
  if (job) return draftOf(job, installation);
  const draft = blank(installation);
  const [bucket] = buckets;
  if (bucket) draft.output = `gs://${bucket.name}/output`;
  if (dataset) Object.assign(draft, { data: dataset, source: "existing" });
  if (evaluation) Object.assign(draft, { evaluation, evaluated: true, evaluationSource: "existing" });
  return draft;
}

function kept(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

/** What was told so far: [draft, change(fields), forget()]. Every change is kept, so that a reload loses nothing. */
function useDraft(key, begin) {
  const [draft, setDraft] = useState(() => ({ ...begin(), ...kept(key) }));
  const change = useCallback((fields) => setDraft((before) => {
    // Another request than before must not pass for the one that was sent.
    const told = Object.keys(fields).some((field) => field !== "submission" && field !== "advanced");
    const next = { ...before, ...(told ? { submission: "" } : {}), ...fields };
    try {
      sessionStorage.setItem(key, JSON.stringify(next));
    } catch {
      // Without storage the draft lasts as long as the page.
    }
    return next;
  }), [key]);
  const forget = useCallback(() => {
    sessionStorage.removeItem(key);
    setDraft(begin());
  }, [key]);
  return [draft, change, forget];
}

function Wizard({ draftKey, installation, buckets, head, begin, step }) {
  const [draft, change, forget] = useDraft(draftKey, begin);
  const [tried, setTried] = useState(new Set());
  const [refused, setRefused] = useState({});
  const told = useCallback((fields) => {
    setRefused((before) => Object.fromEntries(Object.entries(before).filter(([field]) => !(field in fields))));
    change(fields);
  }, [change]);
  const check = useDataCheck(askedOf(draft, installation), draft.location, draft.uploads);
  const examples = check.report?.examples ?? null;
  const problems = useMemo(() => ({ ...problemsOf(draft, installation), ...faultsOf(check, draft) }),
    [draft, installation, check.report, check.error]);
  const wrong = { ...shownOf(problems, tried), ...refused };
  const [form, aim] = useAim();
  const show = useCallback((next) => {
    aim.current = "title";
    // The server judges anew what it had refused before.
    if (next === "review") setRefused({});
    go("/create", { ...Object.fromEntries(new URLSearchParams(window.location.search)), step: next });
  }, []);
  const refuse = useCallback((error) => setRefused((before) => ({ ...before, ...byField(error) })), []);
  const start = useStart(draft, installation, { change, refuse, show, draftKey });

  const onward = (event) => {
    event.preventDefault();
    setTried(new Set([...tried, ...(step === "review" ? STEPS : [step])]));
    const [first] = STEPS.filter((name) => Object.keys(problems).some((field) => stepOf(field) === name && (step === "review" || name === step)));
    if (!first && step === "review") start.run();
    else show(first ?? STEPS[STEPS.indexOf(step) + 1]);
    if (first) aim.current = "wrong";
  };
  const folder = draft.folder || `gs://${buckets[0]?.name ?? `${project().replace(/[^a-z0-9-]/g, "-")}-tuning`}/data`;
  const of = { draft, change: told, wrong, installation, check, folder, examples };
  const looks = session.get()?.principal?.role === "viewer";
  return html`${head}
    ${looks && html`<${Note} kind="warning">${t("create.viewer")}<//>`}
    <${Steps} current=${step} onStep=${show} marks=${marksOf({ problems, refused, tried })} />
    <div class=${`wizard${step === "review" ? " whole" : ""}`}>
      <form ref=${form} onSubmit=${onward} novalidate aria-labelledby="step-title">
        <h2 id="step-title" tabindex="-1">${t(`create.step.${step}`)}</h2>
        <div class="step-fields">
          ${step === "details" && html`<${Details} ...${of} />`}
          ${step === "data" && html`<${TrainingData} ...${of} />`}
          ${step === "evaluation" && html`<${Evaluation} ...${of} />`}
          ${step === "review" && html`<${Unfinished} problems=${{ ...problems, ...refused }} onStep=${show} />
            <${Review} ...${of} problems=${problems} onStep=${show} onRefused=${refuse} started=${start.started} error=${start.error} />`}
        </div>
        <footer>
          ${step !== STEPS[0] && html`<${Button} onClick=${() => show(STEPS[STEPS.indexOf(step) - 1])}>${t("create.back")}<//>`}
          <${Button} kind="primary" type="submit" icon=${step === "review" ? "play" : undefined} busy=${start.busy}
            disabled=${step === "review" && looks}>${step === "review" ? startText(draft) : t("create.continue")}<//>
          <${Button} kind="quiet" onClick=${() => {
            forget();
            setTried(new Set());
            setRefused({});
            show(STEPS[0]);
          }}>${t("create.over")}<//>
        </footer>
      </form>
      ${step !== "review" && html`<${Glance} draft=${draft} installation=${installation} examples=${examples} />`}
    </div>`;
}

function startText(draft) {
  const { length } = stepsOf(draft);
  return length > 1 ? t("create.start.several", { count: number(length) }) : t("create.start");
}

function askedOf(draft, installation) {
  const data = draft.data.trim();
  if (!/^(gs|s3):\/\/[^/]+\/.+/s.test(data)) return null;
  const evaluation = draft.evaluation.trim();
  const beside = draft.evaluated && takesEvaluation(draft, installation) && /^(gs|s3):\/\/[^/]+\/.+/s.test(evaluation);
  const asked = { datasetUri: data, baseModel: draft.base, maxContextLength: draft.context };
  if (kindOf(draft, installation) === "chat") asked.defaultContext = draft.defaultContext;
  if (beside) asked.evaluationDataUri = evaluation;
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
}

/** What the check of the data found, for their fields: with such data a job would fail. */
function faultsOf({ report, error }, draft) {
  const wrong = {};
  if (error?.http >= 400 && error.http < 500) {
    wrong[draft.evaluated && draft.evaluation && error.message.includes(draft.evaluation.trim()) ? "evaluation" : "data"] = error.message;
  }
  const errors = (report?.findings ?? []).filter(({ severity }) => severity === "error");
  const ofData = errors.filter((finding) => !ofEvaluation(finding)).length;
  if (ofData) wrong.data = t("create.wrong.faults", { count: number(ofData) });
  if (draft.evaluated && errors.length > ofData) wrong.evaluation = t("create.wrong.faults", { count: number(errors.length - ofData) });
  return wrong;
}

/** What is wrong is shown once one has tried to leave the step. */
const shownOf = (problems, tried) => Object.fromEntries(Object.entries(problems).filter(([field]) => tried.has(stepOf(field))));

function byField({ violations = [] }) {
  return Object.fromEntries(violations.map(({ field, description }) => [fieldOf(field), description]).filter(([field]) => field));
}

/** Where the focus goes next, as a name: "title" (a new step is heard), "wrong" (the first field to mend). */
function useAim() {
  const form = useRef(null);
  const aim = useRef("");
  useEffect(() => {
    const target = aim.current && form.current?.querySelector(aim.current === "wrong" ? '[aria-invalid="true"], [data-wrong]' : "h2");
    if (!target) return;
    aim.current = "";
    target.focus({ preventScroll: target.tagName === "H2" });
  });
  return [form, aim];
}

/** Submits the jobs; the same requests again are the same jobs. */
function useStart(draft, installation, { change, refuse, show, draftKey }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const [started, setStarted] = useState([]);
  useEffect(() => setError(null), [draft]);
  const run = async () => {
    setBusy(true);
    setError(null);
    const submission = draft.submission || newSubmission();
    change({ submission });
    const requests = requestsOf(draft, installation, project());
    const made = [];
    try {
      for (const { steps, body } of requests) {
        const pipelineJobId = requests.length > 1 ? `${submission}-${steps}` : submission;
        made.push(await post(`${parent(draft.location)}/pipelineJobs`, body, { query: { pipelineJobId } }));
      }
    } catch (problem) {
      const fields = Object.keys(byField(problem));
      setStarted(made);
      setBusy(false);
      setError(problem);
      if (made.length === 0 && fields.length > 0 && problem.violations.every(({ field }) => fieldOf(field))) show(stepOf(fields[0]));
      refuse(problem);
      return;
    }
    done(made);
  };
  const done = (made) => {
    toast(made.length > 1 ? t("create.started.several", { count: number(made.length) }) : t("create.started"));
    sessionStorage.removeItem(draftKey);
    const short = made.map(({ name }) => `${nameOf(name).location}/${nameOf(name).id}`);
    go(made.length > 1 ? address("/compare", { jobs: short.join(",") }) : `/jobs/${short[0]}`);
  };
  return { busy, error, started, run };
}

/** The steps, to see and to go to. */
function Steps({ current, onStep, marks }) {
  return html`<nav class="steps" aria-label=${t("create.steps.label")}><ol>${STEPS.map((name, place) => html`
    <li key=${name}><button type="button" aria-current=${name === current ? "step" : undefined} class=${marks[name]} onClick=${() => onStep(name)}>
      <span class="number">${marks[name] === "done" ? html`<${Icon} name="check" />` : marks[name] === "wrong" ? html`<${Icon} name="warning" />`
        : number(place + 1)}</span>
      <span class="title">${t(`create.step.${name}`)}</span>
      ${marks[name] && html`<span class="hidden">${t(`create.mark.${marks[name]}`)}</span>`}
    </button></li>`)}</ol></nav>`;
}

function marksOf({ problems, refused, tried }) {
  const marks = {};
  for (const name of STEPS.slice(0, -1)) {
    const open = Object.keys(problems).some((field) => stepOf(field) === name);
    const said = Object.keys(refused).some((field) => stepOf(field) === name);
    if (said || (open && tried.has(name))) marks[name] = "wrong";
    else if (!open && (tried.has(name) || name !== "evaluation")) marks[name] = "done";
  }
  return marks;
}

function Unfinished({ problems, onStep }) {
  const fields = Object.keys(problems);
  if (fields.length === 0) return null;
  return html`<${Note} kind="warning"><p>${t("create.unfinished")}</p><ul class="unfinished">${fields.map((field) => html`<li key=${field}>
    <button type="button" class="link" onClick=${() => onStep(stepOf(field))}>${t(`create.step.${stepOf(field)}`)}</button>
    <span>${problems[field]}</span></li>`)}</ul><//>`;
}

/** Beside the form: what the choices so far come to. */
function Glance({ draft, installation, examples }) {
  const batch = batchOf(draft, installation);
  const steps = stepsOf(draft);
  const reference = referenceOf(draft, installation);
  const base = baseOf(draft, installation);
  return html`<aside class="glance" aria-label=${t("create.glance")}>
    <h2>${t("create.glance")}</h2>
    <dl>
      <div><dt>${t("create.base")}</dt><dd>${draft.base}${reference && html`<br /><span class="muted">${reference.baseModel}</span>`}
        ${base.licence && html`<br /><span class="muted">${base.licence}</span>`}</dd></div>
      <div><dt>${t("create.data")}</dt><dd>${draft.data ? draft.data.split("/").pop() : html`<span class="muted">${t("create.glance.none")}</span>`}
        ${examples != null && html`<br /><span class="muted">${t("create.cost.examples", { count: number(examples) })}</span>`}</dd></div>
      <div><dt>${t("create.glance.epochs")}</dt><dd aria-live="polite">${steps.map((count) => html`<p key=${count} class="sum">
        ${t("create.glance.sum", { steps: number(count), batch: number(batch), seen: number(count * batch) })}
        ${examples > 0 && html`<br /><strong>${t("create.glance.times", { epochs: epochsText((count * batch) / examples) })}</strong>`}</p>`)}
        ${!draft.data && html`<p class="hint">${t("create.glance.later")}</p>`}</dd></div>
    </dl>
  </aside>`;
}
