// The curves of a job: loss and accuracy over the steps, of training and of evaluation, and how fast it goes.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { get } from "./api.js";
import { figure, number, percent } from "./format.js";
import { setQuery } from "./state.js";
import { t } from "./texts.js";
import { Chart, ChartChoices } from "./chart.js";
import { Problem, Section, Skeleton } from "./parts.js";

/** Points of a series that are asked for at once; what a wide screen can show. */
const MOST_POINTS = 2000;
/** So many more have come by themselves: they are asked for again, thinned. */
const MOST_ADDED = 1500;
/** Evaluations that have a dot each; more would hide the curves. */
const MOST_DOTS = 60;
const DRAWN_EVERY_MS = 400;
const ASKED_AFTER_MS = 180;
const BESIDE = new Set(["step", "wall_time"]);

const LOSS = ["train_total_loss", "eval_total_loss"];
const ACCURACY = ["train_fraction_of_correct_next_step_preds", "eval_fraction_of_correct_next_step_preds"];

/**
 * What a job has measured: {data: {series, totalPoints, lastStep}, error, ask(), add(line)}. All of it coarsely, and finely
 * what the address says is looked at.
 */
export function useCurves(path, query) {
  const [whole, setWhole] = useState(null);
  const [fine, setFine] = useState(null);
  const [error, setError] = useState(null);
  const held = useRef({ added: [], count: 0, timer: 0, asking: false, again: false, ended: false });
  const range = rangeOf(query);

  const ask = useCallback(async () => {
    const own = held.current;
    if (own.asking) {
      own.again = true;
      return;
    }
    own.asking = true;
    try {
      const found = await get(`${path}:metrics`, { query: { maxPoints: MOST_POINTS } });
      if (own.ended) return;
      own.count = 0;
      setError(null);
      setWhole(found);
    } catch (wrong) {
      if (!own.ended) setError(wrong);
    } finally {
      own.asking = false;
      if (own.again && !own.ended) {
        own.again = false;
        ask();
      }
    }
  }, [path]);

  const add = useCallback((line) => {
    const own = held.current;
    own.added.push(line);
    own.timer ||= setTimeout(() => {
      const added = own.added;
      own.added = [];
      own.timer = 0;
      own.count += added.length;
      setWhole((before) => (before ? longer(before, added) : before));
      if (own.count > MOST_ADDED) ask();
    }, DRAWN_EVERY_MS);
  }, [ask]);

  useEffect(() => {
    held.current.ended = false;
    ask();
    return () => {
      held.current.ended = true;
      clearTimeout(held.current.timer);
    };
  }, [ask]);

  const thin = whole !== null && whole.totalPoints > MOST_POINTS;
  useEffect(() => {
    if (!range || !thin) {
      setFine(null);
      return undefined;
    }
    const abort = new AbortController();
    const beside = (range.max - range.min) / 2;
    const from = Math.max(0, Math.floor(range.min - beside));
    const to = Math.ceil(range.max + beside);
    const timer = setTimeout(() => {
      get(`${path}:metrics`, { query: { maxPoints: MOST_POINTS, fromStep: from, toStep: to }, signal: abort.signal })
        .then((found) => setFine({ from, to, series: found.series }), () => {});
    }, ASKED_AFTER_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [path, range?.min, range?.max, thin]);

  const data = useMemo(() => (whole && fine ? { ...whole, series: spliced(whole.series, fine) } : whole), [whole, fine]);
  return { data, error, ask, add };
}

function rangeOf({ from, to }) {
  const [min, max] = [Number(from), Number(to)];
  return from && to && Number.isFinite(min) && min < max ? { min, max } : null;
}

/** With lines of metrics that have come since; a step that is there already stays as it is. */
function longer(before, lines) {
  const series = { ...before.series };
  const touched = new Set();
  let { lastStep, totalPoints } = before;
  for (const line of lines) {
    for (const [name, value] of Object.entries(line)) {
      if (BESIDE.has(name) || typeof value !== "number") continue;
      if (!touched.has(name)) {
        const old = series[name] ?? { steps: [], values: [] };
        series[name] = { steps: [...old.steps], values: [...old.values] };
        touched.add(name);
      }
      const { steps, values } = series[name];
      if (steps.length && line.step <= steps[steps.length - 1]) continue;
      steps.push(line.step);
      values.push(value);
    }
    if (line.step > lastStep) {
      lastStep = line.step;
      totalPoints += 1;
    }
  }
  return { ...before, series, lastStep, totalPoints };
}

/** The whole, and in it the fine part in place of the coarse one. */
function spliced(whole, { from, to, series }) {
  const found = {};
  for (const [name, { steps, values }] of Object.entries(whole)) {
    const part = series[name] ?? { steps: [], values: [] };
    const last = part.steps.length ? part.steps[part.steps.length - 1] : from - 1;
    const begin = steps.findIndex((step) => step >= from);
    const end = steps.findIndex((step) => step > Math.min(to, Math.max(last, from - 1)));
    const head = begin < 0 ? steps.length : begin;
    const tail = end < 0 ? steps.length : end;
    found[name] = {
      steps: [...steps.slice(0, head), ...part.steps, ...steps.slice(tail)],
      values: [...values.slice(0, head), ...part.values, ...values.slice(tail)],
    };
  }
  return found;
}

/** The charts: curves (of useCurves), marks [{step, label}], query (what the address says), resting. */
export function Curves({ curves, marks, query, resting }) {
  const choice = { smoothing: Math.min(0.98, Math.max(0, Number(query.smooth) || 0)), logarithmic: query.log === "1" };
  const [range, setRange] = useState(rangeOf(query));
  const saved = useRef(0);
  const look = useCallback((from, to) => {
    const next = from == null ? null : { min: from, max: to };
    setRange(next);
    // The address once the hand rests: a browser takes only so many changes a second.
    clearTimeout(saved.current);
    saved.current = setTimeout(() => setQuery({ from: next ? roundly(next.min) : "", to: next ? roundly(next.max) : "" }), 120);
  }, []);
  useEffect(() => () => clearTimeout(saved.current), []);
  const { data, error, ask } = curves;
  const choose = ({ smoothing, logarithmic }) => setQuery({ smooth: smoothing || "", log: logarithmic ? "1" : "" });
  const series = data?.series;
  const drawn = useMemo(() => ({
    loss: pair(series, LOSS, choice.smoothing),
    accuracy: pair(series, ACCURACY, choice.smoothing),
    rate: one(series, "learning_rate", t("job.curve.rate"), 2),
    gradient: one(series, "gradient_norm", t("job.curve.gradient"), 3),
    speed: one(series, "tokens_per_s", t("job.curve.speed"), 4),
  }), [series, choice.smoothing, t("job.curve.train")]);
  if (!data) return error ? html`<${Problem} error=${error} retry=${ask} />` : html`<${Skeleton} lines=${6} />`;
  const common = { marks, shared: range, onRange: look, syncKey: "job", smoothing: choice.smoothing };
  const nothing = !data.totalPoints;
  return html`<${Section} title=${t("job.curves")} class="job-curves" actions=${!nothing && html`<${ChartChoices} value=${choice} onChange=${choose} />`}>
    ${error && error.status !== "UNREACHABLE" && html`<${Problem} error=${error} retry=${ask} />`}
    ${nothing ? html`<p class="muted">${t(resting ? "job.curves.none" : "job.curves.soon")}</p>` : html`
    <div class="charts">
      <${Chart} title=${t("job.curve.loss")} series=${drawn.loss} ...${common} logarithmic=${choice.logarithmic} />
      <${Chart} title=${t("job.curve.accuracy")} series=${drawn.accuracy} ...${common} format=${shortPercent} />
    </div>
    <p class="muted under">${t("job.curves.hint", { count: number(data.totalPoints) })}</p>
    <${More} drawn=${drawn} common=${common} />`}
  <//>`;
}

function More({ drawn, common }) {
  const [open, setOpen] = useState(false);
  const charts = [["rate", figure], ["gradient", figure], ["speed", whole]].filter(([name]) => drawn[name].length > 0);
  if (charts.length === 0) return null;
  return html`<details class="job-more" onToggle=${(event) => event.target.classList.contains("job-more") && setOpen(event.target.open)}>
    <summary>${t("job.curves.more")}</summary>
    ${open && html`<div class="charts small">${charts.map(([name, format]) => html`<${Chart} key=${name} title=${drawn[name][0].label}
      series=${drawn[name]} ...${common} marks=${NONE} format=${format} height=${160} />`)}</div>`}
  </details>`;
}

const NONE = [];
const whole = (value) => number(value);
const shortPercent = (value) => percent(value, Math.abs(value * 100 - Math.round(value * 100)) < 1e-9 ? 0 : 1);
const roundly = (step) => Number(step.toPrecision(8));

function pair(series, [train, evaluation], smoothing) {
  const found = [];
  const of = (name) => ({ steps: series[name].steps, values: series[name].values });
  if (series?.[train]?.steps.length) {
    const label = t("job.curve.train");
    if (smoothing) found.push({ id: `${train} raw`, label: t("job.curve.raw"), ...of(train), colour: 0, faint: true });
    found.push({ id: train, label, ...of(train), colour: 0 });
  }
  if (series?.[evaluation]?.steps.length) {
    found.push({ id: evaluation, label: t("job.curve.evaluation"), ...of(evaluation), colour: 1, dash: 1,
      points: series[evaluation].steps.length <= MOST_DOTS, exact: true });
  }
  return found;
}

function one(series, name, label, colour) {
  const found = series?.[name];
  return found?.steps.length ? [{ id: name, label, steps: found.steps, values: found.values, colour }] : [];
}
