// What the tasks of a job print: the end of it, following along; earlier lines on request.
import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { get } from "./api.js";
import { bytes, number } from "./format.js";
import { setQuery } from "./state.js";
import { has, t } from "./texts.js";
import { Button, Copy, Problem, Select, Skeleton } from "./parts.js";

const AT_ONCE = 500;
const MOST_SHOWN = 5000;
const ASKED_AFTER_MS = 250;
const EDGE_PX = 24;
// What a terminal obeys and a page would hide or be turned around by.
const COLOURING = /\u001b\[[0-9;]*m/g;
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** A line as it can be seen: without colours, and with a mark for each character that has no look of its own. */
export const visible = (line) => line.replace(COLOURING, "").replace(HIDDEN, (mark) => {
  const code = mark.charCodeAt(0);
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
});

/** path of the job, query {task, attempt, find}, written (changes when there is more), resting. */
export function Log({ path, query, written, resting }) {
  const { task = "", attempt = "", find = "" } = query;
  const [following, setFollowing] = useState(true);
  const log = useLog(path, task, attempt, written, resting, following);
  const [unseen, setUnseen] = useState(0);
  const box = useRef(null);
  const before = useRef(0);
  const shown = useMemo(() => {
    const wanted = find.toLowerCase();
    const lines = log.lines.map((line, place) => ({ key: log.first + place, text: visible(line) }));
    return wanted ? lines.filter(({ text }) => text.toLowerCase().includes(wanted)) : lines;
  }, [log.lines, log.first, find]);

  useLayoutEffect(() => {
    const added = shown.length ? shown[shown.length - 1].key - before.current : 0;
    before.current = shown.length ? shown[shown.length - 1].key : 0;
    if (!box.current) return;
    if (following) box.current.scrollTop = box.current.scrollHeight;
    else if (added > 0) setUnseen((count) => count + added);
  }, [shown]);

  const scrolled = () => {
    const { scrollHeight, scrollTop, clientHeight } = box.current;
    const atEnd = scrollHeight - scrollTop - clientHeight < EDGE_PX;
    setFollowing(atEnd);
    if (atEnd) setUnseen(0);
  };
  const toEnd = () => {
    box.current.scrollTop = box.current.scrollHeight;
    setFollowing(true);
    setUnseen(0);
  };
  const earlier = async () => {
    const height = box.current.scrollHeight;
    await log.earlier();
    // What one was reading stays where it was.
    requestAnimationFrame(() => {
      if (box.current) box.current.scrollTop += box.current.scrollHeight - height;
    });
  };
  if (log.error && !log.loaded) return html`<${Problem} error=${log.error} retry=${log.reload} />`;
  if (!log.loaded) return html`<${Skeleton} lines=${8} />`;
  const choices = log.attempts.map((one) => ({ value: `${one.task} ${one.attempt}`, label: nameOf(one, log.attempts) }));
  return html`<div class="job-log">
    <div class="tools">
      <${Select} aria-label=${t("job.log.task")} value=${task || attempt ? `${log.task} ${log.attempt}` : ""}
        options=${[{ value: "", label: t("job.log.newest") }, ...choices]} onChange=${(value) => {
          const [name = "", place = ""] = value.split(" ");
          setFollowing(true);
          setQuery({ task: name, attempt: place });
        }} />
      <input type="search" class="find" value=${find} placeholder=${t("job.log.find")} aria-label=${t("job.log.find")}
        onInput=${(event) => setQuery({ find: event.target.value })} />
      <${Copy} text=${shown.map(({ text }) => text).join("\n")} label=${t("job.log.copy")} />
      <span class="muted" aria-live="polite">${find ? t("job.log.found", { count: number(shown.length) }) : ""}</span>
    </div>
    ${log.error && html`<${Problem} error=${log.error} retry=${log.reload} />`}
    ${log.lines.length === 0 ? html`<p class="muted nothing">${t(resting ? "job.log.none" : "job.log.soon")}</p>` : html`
      <div class="lines" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-live="off"
        aria-label=${t("job.log.of", { task: word(log.task) })}>
        ${log.start > 0 && !find && html`<p class="earlier"><${Button} small busy=${log.busy} onClick=${earlier}>
          ${t("job.log.earlier", { size: bytes(log.start) })}<//></p>`}
        ${shown.length === 0 && html`<p class="muted nothing">${t("job.log.nothing")}</p>`}
        <ol>${shown.map(({ key, text }) => html`<li key=${key}><${Line} text=${text} find=${find} /></li>`)}</ol>
      </div>
      <p class="muted under"><span>${resting ? t("job.log.ended") : following ? t("job.log.follows") : t("job.log.paused")}</span>
        ${!following && html`<${Button} small icon="down" onClick=${toEnd}>${unseen ? t("job.log.new", { count: number(unseen) }) : t("job.log.end")}<//>`}</p>`}
  </div>`;
}

const word = (task) => (has(`job.task.${task}`) ? t(`job.task.${task}`) : task);

function nameOf({ task, attempt }, all) {
  const several = all.some((other) => other.task === task && other.attempt > 1);
  return several ? `${word(task)}, ${t("job.attempt", { number: attempt })}` : word(task);
}

function Line({ text, find }) {
  if (!find) return html`<bdi>${text}</bdi>`;
  const pieces = [];
  const [low, wanted] = [text.toLowerCase(), find.toLowerCase()];
  let at = 0;
  for (let place = low.indexOf(wanted); place >= 0 && low.length === text.length; place = low.indexOf(wanted, at)) {
    pieces.push(text.slice(at, place), html`<mark>${text.slice(place, place + wanted.length)}</mark>`);
    at = place + wanted.length;
  }
  pieces.push(text.slice(at));
  return html`<bdi>${pieces}</bdi>`;
}

/** Lines of one attempt's log: {lines, first (number of the first one), start (bytes before it), task, attempt, attempts, ...}. */
function useLog(path, task, attempt, written, resting, following) {
  const empty = { lines: [], first: 0, start: 0, end: 0, task: "", attempt: 0, attempts: [], loaded: false, error: null, busy: false };
  const [state, setState] = useState(empty);
  const own = useRef({ state, turn: 0 });
  own.current.state = state;

  const put = (next) => {
    own.current.state = next;
    setState(next);
  };
  const look = useCallback(async (anew) => {
    const turn = (own.current.turn += 1);
    const known = own.current.state;
    try {
      const found = await get(`${path}:log`, { query: { task, attempt, lines: AT_ONCE } });
      if (turn !== own.current.turn) return;
      const same = !anew && known.loaded && found.task === known.task && found.attempt === known.attempt && found.endByte >= known.end;
      if (!same) {
        put({ ...empty, ...found, lines: found.lines, start: found.startByte ?? 0, end: found.endByte ?? 0, loaded: true });
        return;
      }
      if (found.endByte === known.end) {
        if (known.error || known.attempts.length !== found.attempts.length) put({ ...known, attempts: found.attempts, error: null });
        return;
      }
      const more = await get(`${path}:log`, { query: { task: known.task, attempt: known.attempt, lines: MOST_SHOWN, afterByte: known.end || "" } });
      if (turn !== own.current.turn) return;
      const now = own.current.state;
      // More than was asked for has come, or more than one page should hold: it begins anew at the end.
      if (more.startByte > now.end || (now.lines.length > MOST_SHOWN && following)) {
        await look(true);
        return;
      }
      put({ ...now, lines: [...now.lines, ...more.lines], end: more.endByte, attempts: more.attempts, error: null });
    } catch (error) {
      if (turn === own.current.turn) put({ ...own.current.state, error });
    }
  }, [path, task, attempt, following]);

  useEffect(() => void look(true), [path, task, attempt]);
  useEffect(() => {
    if (!own.current.state.loaded) return undefined;
    // Held back no further once it waits: a log that never pauses is shown all the same.
    own.current.timer ??= setTimeout(() => {
      own.current.timer = null;
      look(false);
    }, ASKED_AFTER_MS);
    return undefined;
  }, [written, resting]);
  useEffect(() => () => clearTimeout(own.current.timer), []);

  const earlier = async () => {
    const known = own.current.state;
    put({ ...known, busy: true });
    try {
      const query = { task: known.task, attempt: known.attempt, lines: AT_ONCE, beforeByte: known.start };
      const found = await get(`${path}:log`, { query });
      const now = own.current.state;
      if (found.task !== now.task || found.attempt !== now.attempt || found.endByte !== now.start) return;
      put({ ...now, lines: [...found.lines, ...now.lines], first: now.first - found.lines.length, start: found.startByte, busy: false, error: null });
    } catch (error) {
      put({ ...own.current.state, busy: false, error });
    }
  };
  return { ...state, earlier, reload: () => look(true) };
}
