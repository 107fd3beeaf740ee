// The curves of several jobs in one picture each, with the same colours and dashes everywhere.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { get } from "./api.js";
import { figure, number, percent } from "./format.js";
import { setQuery } from "./state.js";
import { t } from "./texts.js";
import { Section, Select } from "./parts.js";
import { Chart, ChartChoices, COLOURS, DASHES } from "./chart.js";

const CHARTS = [
  { name: "train_total_loss", format: figure },
  { name: "eval_total_loss", format: figure, points: true },
  { name: "train_fraction_of_correct_next_step_preds", format: percent, share: true },
  { name: "eval_fraction_of_correct_next_step_preds", format: percent, points: true, share: true },
];
const FINE_POINTS = 1000;
const MOST_DOTS = 40;
const PAUSE_MS = 200;

/** A job's line as it is drawn, and its letter: place (0 to 7), letter. */
export function Swatch({ place, letter }) {
  return html`<span class="swatch"><svg viewBox="0 0 28 4" aria-hidden="true"><line x1="0" x2="28" y1="2" y2="2"
    stroke-dasharray=${DASHES[place % DASHES.length].join(" ")} style=${{ stroke: `var(${COLOURS[place % COLOURS.length]})` }} /></svg>
    <b>${letter}</b></span>`;
}

/** The four curves of each job: jobs, query (of the address: axis, smoothing, log). */
export function Curves({ jobs, query }) {
  const [choices, setChoices] = useState({ smoothing: Number(query.smoothing) || 0, logarithmic: query.log === "1" });
  const axis = query.axis === "time" ? "time" : "step";
  const timer = useRef(0);
  const change = (next) => {
    setChoices(next);
    clearTimeout(timer.current);
    const said = { smoothing: next.smoothing || "", log: next.logarithmic ? "1" : "" };
    timer.current = setTimeout(() => setQuery(said), PAUSE_MS);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  return html`<${Section} title=${t("compare.curves")} actions=${html`
      <label class="choice"><span>${t("compare.axis")}</span><${Select} value=${axis} onChange=${(value) => setQuery({ axis: value === "step" ? "" : value })}
        options=${[{ value: "step", label: t("compare.axis.step") }, { value: "time", label: t("compare.axis.time") }]} /></label>
      <${ChartChoices} value=${choices} onChange=${change} />`}>
    <div class="charts">${CHARTS.map((chart) => html`<${Curve} key=${`${chart.name} ${axis}`} chart=${chart} jobs=${jobs} axis=${axis} choices=${choices} />`)}</div>
  <//>`;
}

function Curve({ chart, jobs, axis, choices }) {
  const [range, setRange] = useState(null);
  const fine = useFine(chart.name, jobs, axis === "step" ? range : null);
  const series = useMemo(() => jobs.map((job) => {
    const whole = job.series[chart.name] ?? { steps: [], values: [], wallTimes: [] };
    const found = fine[job.name] ? inserted(whole, fine[job.name]) : whole;
    return {
      id: job.name, label: job.letter, colour: job.place, dash: job.place, points: chart.points && found.steps.length <= MOST_DOTS,
      steps: axis === "time" ? sinceFirst(found.wallTimes, job.series) : found.steps, values: found.values,
    };
  }), [jobs, fine, axis]);
  return html`<${Chart} title=${t(`compare.curve.${chart.name}`)} series=${series} format=${chart.format} smoothing=${choices.smoothing}
    logarithmic=${choices.logarithmic && !chart.share} syncKey=${`compare ${axis}`} xLabel=${axis === "time" ? t("compare.axis.time") : undefined}
    xFormat=${axis === "time" ? figure : number} onRange=${(from, to) => setRange(from == null ? null : [Math.floor(from), Math.ceil(to)])} />`;
}

/** Seconds since the job's first point of any curve. */
function sinceFirst(times, series) {
  const first = Math.min(...Object.values(series).map(({ wallTimes }) => wallTimes[0]).filter((time) => time != null));
  return times.map((time) => time - first);
}

/** The stretch between from and to as it was measured, where a job has more points than the whole picture shows. */
function useFine(name, jobs, range) {
  const [fine, setFine] = useState({});
  const long = jobs.filter((job) => (job.series[name]?.steps.length ?? 0) < job.totalPoints && job.totalPoints > FINE_POINTS);
  const key = range ? `${range} ${long.map((job) => job.name)}` : "";
  useEffect(() => {
    if (!key) {
      setFine((before) => (Object.keys(before).length ? {} : before));
      return undefined;
    }
    const abort = new AbortController();
    const query = { names: name, maxPoints: FINE_POINTS, fromStep: Math.max(0, range[0]), toStep: Math.max(0, range[1]) };
    const timer = setTimeout(async () => {
      const each = await Promise.all(long.map((job) => get(`/v1/${job.name}:metrics`, { query, signal: abort.signal })
        .then(({ series }) => [job.name, series[name]], () => [job.name, undefined])));
      if (!abort.signal.aborted) setFine(Object.fromEntries(each.filter(([, found]) => found?.steps.length)));
    }, PAUSE_MS);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, name]);
  return fine;
}

function inserted(whole, part) {
  const [first, last] = [part.steps[0], part.steps[part.steps.length - 1]];
  const before = whole.steps.filter((step) => step < first).length;
  const after = whole.steps.findIndex((step) => step > last);
  const rest = (values) => (after < 0 ? [] : values.slice(after));
  const joined = (key) => [...whole[key].slice(0, before), ...part[key], ...rest(whole[key])];
  return { steps: joined("steps"), values: joined("values"), wallTimes: joined("wallTimes") };
}
