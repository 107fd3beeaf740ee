// Curves over steps, drawn by uPlot, which is loaded when the first chart is shown.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { figure, number } from "./format.js";
import { theme, useValue } from "./state.js";
import { t } from "./texts.js";
import { Button, Check } from "./parts.js";

const HERE = new URL(".", import.meta.url);
let loading = null;

function loaded() {
  loading ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("vendor/uplot.css", HERE).href;
    document.head.append(style);
    const script = document.createElement("script");
    script.src = new URL("vendor/uplot.js", HERE).href;
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => {
      loading = null;
      reject(new Error(script.src));
    };
    document.head.append(script);
  });
  return loading;
}

/** Colours that anybody can tell apart (Okabe and Ito), by number; in both themes. */
export const COLOURS = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6", "--series-7", "--series-8"];
export const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
/** The same for a border, as in the legend; the last two have to share one. */
const STROKES = ["solid", "dashed", "dotted", "dashed"];

/** The exponential mean of values so far, as fair to the first as to the last. weight: 0 (none) to 0.99. */
export function smooth(values, weight) {
  if (!weight) return values;
  let mean = 0;
  let share = 0;
  return values.map((value) => {
    if (value == null) return null;
    mean = mean * weight + value * (1 - weight);
    share = share * weight + (1 - weight);
    return mean / share;
  });
}

/**
 * Chart: title, series [{id, label, steps, values, colour (number in COLOURS), dash (number), points, faint, exact (never
 * smoothed)}],
 * marks [{step, label}] as vertical lines, format(value), height, smoothing (0 to 0.99), logarithmic, xLabel, xFormat(x),
 * onRange(from, to) when the reader zooms or pans (null, null: back to all), shared ({min, max}, or null for all: what
 * several charts show together, which onRange then changes), syncKey (charts whose cursors move together).
 * Drag to zoom, double click to see all; with the keyboard: arrows pan, + and - zoom, 0 sees all.
 */
export function Chart({
  title, series, marks = [], format = figure, height = 240, smoothing = 0, logarithmic = false, xLabel, xFormat = number, onRange,
  syncKey, shared,
}) {
  const place = useRef(null);
  const plot = useRef(null);
  const range = useRef(shared ?? null);
  const colours = useValue(theme);
  const dark = useDark();
  const [failed, setFailed] = useState(false);
  const [zoomed, setZoomed] = useState(Boolean(shared));
  const shape = JSON.stringify(series.map(({ id, label, colour, dash, points, faint }) => [id, label, colour, dash, points, faint]));
  const data = useMemo(() => joined(series, smoothing), [series, smoothing]);
  const latest = useRef({});
  latest.current = { data, marks, format, onRange, xFormat, xLabel };

  useEffect(() => {
    let ended = false;
    let watch = null;
    loaded().then((UPlot) => {
      if (ended) return;
      const options = optionsOf(UPlot, { series, height, logarithmic, syncKey, together: shared !== undefined, latest, place, range, setZoomed });
      plot.current = new UPlot(options, latest.current.data, place.current);
      if (range.current) plot.current.setScale("x", range.current);
      watch = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height }));
      watch.observe(place.current);
    }, () => setFailed(true));
    return () => {
      ended = true;
      watch?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, height, logarithmic, colours, dark]);

  useEffect(() => {
    if (!plot.current) return;
    plot.current.setData(data, !range.current);
    if (range.current) plot.current.setScale("x", range.current);
  }, [data]);
  useEffect(() => plot.current?.redraw(false), [JSON.stringify(marks)]);
  useEffect(() => {
    if (shared !== undefined) turn(shared);
  }, [shared?.min, shared?.max]);

  const turn = (next) => {
    range.current = next;
    setZoomed(Boolean(next));
    const steps = latest.current.data[0];
    if (steps.length) plot.current?.setScale("x", next ?? { min: steps[0], max: steps[steps.length - 1] });
  };
  const show = (next) => {
    turn(next);
    latest.current.onRange?.(next?.min ?? null, next?.max ?? null);
  };
  const press = (event) => {
    const scale = plot.current?.scales.x;
    if (!scale || scale.min == null) return;
    const width = scale.max - scale.min;
    const moves = {
      ArrowLeft: [-0.2, -0.2], ArrowRight: [0.2, 0.2], "+": [0.2, -0.2], "=": [0.2, -0.2], "-": [-0.3, 0.3],
    };
    if (event.key === "0") show(null);
    else if (moves[event.key]) show({ min: scale.min + width * moves[event.key][0], max: scale.max + width * moves[event.key][1] });
    else return;
    event.preventDefault();
  };
  const empty = data[0].length === 0;
  return html`<figure class="chart">
    <figcaption><span>${title}</span>
      ${zoomed && html`<${Button} small kind="quiet" onClick=${() => show(null)}>${t("chart.all")}<//>`}</figcaption>
    ${empty && html`<p class="nothing" style=${{ height: `${height}px` }}>${t("chart.nothing")}</p>`}
    ${failed && html`<p class="nothing">${t("chart.failed")}</p>`}
    <div class="canvas" ref=${place} tabindex="0" role="img" onKeyDown=${press} hidden=${empty}
      aria-label=${`${title}. ${t("chart.keys")}`}></div>
    <${Figures} series=${series} format=${format} xFormat=${xFormat} xLabel=${xLabel ?? t("chart.step")} />
  </figure>`;
}

/** Smoothing and scale of a group of charts: value {smoothing, logarithmic}, onChange(value). */
export function ChartChoices({ value, onChange }) {
  return html`<div class="chart-choices">
    <label><span>${t("chart.smoothing")}</span>
      <input type="range" min="0" max="0.98" step="0.02" value=${value.smoothing}
        onInput=${(event) => onChange({ ...value, smoothing: Number(event.target.value) })} />
      <output>${number(value.smoothing, 2)}</output></label>
    <${Check} label=${t("chart.logarithmic")} checked=${value.logarithmic}
      onChange=${(logarithmic) => onChange({ ...value, logarithmic })} />
  </div>`;
}

const MOST_TOLD = 100;

function Figures({ series, format, xFormat, xLabel }) {
  const [open, setOpen] = useState(false);
  const [steps, ...columns] = useMemo(() => (open ? joined(series.filter(({ faint }) => !faint), 0) : [[]]), [open, series]);
  const every = Math.max(1, Math.ceil(steps.length / MOST_TOLD));
  const rows = steps.map((_, place) => place).filter((place) => place % every === 0 || place === steps.length - 1);
  return html`<details class="figures-of" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${t("chart.table")}</summary>
    ${open && html`<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">${xLabel}</th>
      ${series.filter(({ faint }) => !faint).map(({ id, label }) => html`<th scope="col" key=${id}>${label}</th>`)}</tr></thead>
      <tbody>${rows.map((place) => html`<tr key=${place}><th scope="row">${xFormat(steps[place])}</th>
        ${columns.map((values, column) => html`<td key=${column}>${values[place] == null ? "" : format(values[place])}</td>`)}
      </tr>`)}</tbody></table></div>`}
  </details>`;
}

function joined(series, weight) {
  const all = new Set();
  for (const { steps } of series) for (const step of steps) all.add(step);
  const x = [...all].sort((a, b) => a - b);
  const at = new Map(x.map((step, place) => [step, place]));
  const columns = series.map(({ steps, values, faint, exact }) => {
    const column = new Array(x.length).fill(null);
    const told = faint || exact ? values : smooth(values, weight);
    steps.forEach((step, number_) => {
      column[at.get(step)] = told[number_];
    });
    return column;
  });
  return [x, ...columns];
}

/** Steps of a scale that has no halves. */
const WHOLE = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((times) => times * 10 ** power)).flat();

/** From where to where a scale goes: a little beyond the values; for nothing but zeros, from 0 to 1. */
function rangeOf(UPlot, min, max) {
  if (min == null || (min === 0 && max === 0)) return [0, 1];
  return UPlot.rangeNum(min, max, 0.1, true);
}

function optionsOf(UPlot, { series, height, logarithmic, syncKey, together, latest, place, range, setZoomed }) {
  // Charts that share what they show zoom by that; of each other they follow the cursor only.
  const filters = together ? { pub: (type) => type === "mousemove" || type === "mouseleave" } : undefined;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1, size: 4 },
    font: `12px ${style.getPropertyValue("--font")}`,
  };
  const told = (value) => (value == null ? "\u2013" : latest.current.format(value));
  return {
    width: place.current.clientWidth,
    height,
    scales: { x: { time: false }, y: logarithmic ? { distr: 3 } : { range: (_, min, max) => rangeOf(UPlot, min, max) } },
    axes: [{ ...axis, size: 32, ...(latest.current.xFormat === number ? { incrs: WHOLE } : {}), values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : latest.current.xFormat(tick))) },
      { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : latest.current.format(tick))) }],
    cursor: { drag: { x: true, y: false }, sync: syncKey ? { key: syncKey, setSeries: false, ...(filters && { filters }) } : undefined, points: { size: 7 } },
    legend: { live: true, markers: { dash: (_, place) => STROKES[(series[place - 1]?.dash ?? 0) % STROKES.length] } },
    series: [{ label: latest.current.xLabel ?? t("chart.step"), value: (_, value) => (value == null ? "\u2013" : latest.current.xFormat(value)) },
      ...series.map(({ label, colour: named, dash = 0, points = false, faint = false }) => ({
        label,
        stroke: colour(COLOURS[named % COLOURS.length]) + (faint ? "55" : ""),
        width: faint ? 1 : 2,
        dash: DASHES[dash % DASHES.length],
        points: { show: points, size: 6, fill: colour("--paper") },
        spanGaps: true,
        value: (_, value) => told(value),
      }))],
    hooks: {
      setSelect: [(plot) => {
        const from = plot.posToVal(plot.select.left, "x");
        const to = plot.posToVal(plot.select.left + plot.select.width, "x");
        if (plot.select.width < 4) return;
        range.current = { min: from, max: to };
        setZoomed(true);
        latest.current.onRange?.(from, to);
      }],
      draw: [(plot) => drawMarks(plot, latest.current.marks, colour)],
      ready: [(plot) => plot.over.addEventListener("dblclick", () => {
        range.current = null;
        setZoomed(false);
        latest.current.onRange?.(null, null);
      })],
    },
  };
}

function drawMarks(plot, marks, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour("--text");
  ctx.fillStyle = colour("--text");
  ctx.font = `${12 * devicePixelRatio}px ${colour("--font")}`;
  marks.forEach(({ step, label }, place) => {
    const x = plot.valToPos(step, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const right = x > bbox.left + bbox.width * 0.7;
    ctx.textAlign = right ? "right" : "left";
    ctx.fillText(label, x + (right ? -6 : 6) * devicePixelRatio, bbox.top + (14 + place * 16) * devicePixelRatio);
  });
  ctx.restore();
}

function useDark() {
  const query = useMemo(() => window.matchMedia("(prefers-color-scheme: dark)"), []);
  const [dark, setDark] = useState(query.matches);
  useEffect(() => {
    const changed = () => setDark(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return dark;
}
