// Numbers, times and names as people read them, in the chosen language.
import { language } from "./state.js";

const made = new Map();

function by(kind, options) {
  const key = `${language.get()} ${kind} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Intl[kind](language.get(), options));
  return made.get(key);
}

export const number = (value, digits = 0) =>
  value == null ? "" : by("NumberFormat", { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);

export const percent = (share, digits = 1) =>
  share == null
    ? ""
    : by("NumberFormat", { style: "percent", maximumFractionDigits: digits, minimumFractionDigits: digits }).format(share);

/** A loss or a rate: as many digits as say something. */
export const figure = (value) => {
  if (value == null || Number.isNaN(value)) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return by("NumberFormat", { maximumSignificantDigits: size >= 1000 ? 6 : 4 }).format(value);
};

/** A large number in short: 135 M. */
export const compact = (value) =>
  value == null ? "" : by("NumberFormat", { notation: "compact", maximumSignificantDigits: 3 }).format(value);

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

export function bytes(value) {
  if (value == null) return "";
  let unit = 0;
  let rest = Number(value);
  while (rest >= 1000 && unit < UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${number(rest)} B`;
  const digits = rest < 100 ? 1 : 0;
  return by("NumberFormat", { style: "unit", unit: UNITS[unit], unitDisplay: "short", maximumFractionDigits: digits }).format(rest);
}

/** Seconds as the two largest units: 2 h 5 min. */
export function duration(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return "";
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    ["day", Math.floor(whole / 86400)],
    ["hour", Math.floor(whole / 3600) % 24],
    ["minute", Math.floor(whole / 60) % 60],
    ["second", whole % 60],
  ];
  const first = parts.findIndex(([, count]) => count > 0);
  const told = first < 0 ? [parts[3]] : parts.slice(first, first + 2).filter(([, count], place) => count > 0 || place === 0);
  return told.map(([unit, count]) => by("NumberFormat", { style: "unit", unit, unitDisplay: "short" }).format(count)).join(" ");
}

export const seconds = (from, to = Date.now()) => (from ? (new Date(to) - new Date(from)) / 1000 : null);

export const moment = (at) => (at ? by("DateTimeFormat", { dateStyle: "medium", timeStyle: "medium" }).format(new Date(at)) : "");

/** A time of today by its hour, another by its day. */
export function when(at) {
  if (!at) return "";
  const time = new Date(at);
  const today = new Date().toDateString() === time.toDateString();
  const year = new Date().getFullYear() === time.getFullYear() ? undefined : "numeric";
  return today
    ? by("DateTimeFormat", { hour: "2-digit", minute: "2-digit" }).format(time)
    : by("DateTimeFormat", { year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }).format(time);
}

/** projects/P/locations/L/models/7 -> {project, location, id, kind}. */
export function nameOf(resource) {
  const parts = (resource ?? "").split("/");
  return { project: parts[1] ?? "", location: parts[3] ?? "", kind: parts[4] ?? "", id: parts[5] ?? resource ?? "" };
}

/** JOB_STATE_RUNNING, PIPELINE_STATE_RUNNING -> RUNNING. */
export const stateOf = (state) => (state ?? "").replace(/^(PIPELINE|JOB)_STATE_/, "");
