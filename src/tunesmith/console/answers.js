// Answers of models, side by side, while they come: the hook that asks, and the cards that show it.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { number } from "./format.js";
import { ask } from "./predictions.js";
import { t } from "./texts.js";
import { CodeBlock, Copy, Problem } from "./parts.js";

const LOADING_MS = 1500;
const SHORTEST_MS = 50; // below, tokens a second say nothing
const CONTEXT_LINES = 3;

/**
 * Asks several models the same at once: {sides, busy, start, stop}. start([{model, instance}], parameters) resolves to
 * the sides as they ended; a side is {model, state, texts, began, first, ended, finish, inputTokens, outputTokens, error}.
 */
export function useAsking() {
  const [sides, setSides] = useState([]);
  const asked = useRef(null);
  useEffect(() => () => asked.current?.abort(), []);
  const start = useCallback(async (questions, parameters) => {
    const abort = new AbortController();
    asked.current = abort;
    const now = questions.map(({ model }) => ({
      model: { id: model.id, label: model.label, tuned: model.tuned, version: model.version, baseModel: model.baseModel },
      state: "waiting", texts: [], began: performance.now(), first: null, ended: null,
    }));
    const show = () => setSides(now.map((side) => ({ ...side })));
    show();
    await Promise.all(questions.map(({ model, instance }, place) =>
      answer(now[place], { model, instance, parameters, signal: abort.signal, show })));
    asked.current = null;
    show();
    return now;
  }, []);
  const stop = useCallback(() => asked.current?.abort(), []);
  const busy = sides.some(({ state }) => state === "waiting" || state === "running");
  return { sides, busy, start, stop, clear: useCallback(() => setSides([]), []) };
}

async function answer(side, { model, instance, parameters, signal, show }) {
  const onText = (texts) => {
    side.first ??= performance.now();
    side.state = "running";
    side.texts = texts;
    show();
  };
  try {
    const { texts, ...rest } = await ask(model.target, instance, parameters, { signal, onText });
    Object.assign(side, rest, { texts, state: "done" });
  } catch (error) {
    if (error.name === "AbortError") side.state = "stopped";
    else Object.assign(side, { state: "failed", error: told(error) });
  }
  side.ended = performance.now();
  show();
}

// As it can be kept: an Error's own properties are not in its JSON.
function told({ message, status, http, violations }) {
  return { message, status, http, violations };
}

/** The answers to one question: sides, retry, around {prefix, suffix} (what stands about a gap), prose (fences are code). */
export function Answers({ sides, retry, around, prose = false }) {
  return html`<div class="answers">
    ${sides.map((side, place) => html`<${Answer} key=${place} side=${side} retry=${retry} around=${around} prose=${prose} />`)}
  </div>`;
}

function Answer({ side, retry, around, prose }) {
  const { model, state, texts, error } = side;
  const live = state === "waiting" || state === "running";
  const empty = state === "done" && texts.every((text) => text === "");
  return html`<article class=${`answer ${model.tuned ? "tuned" : "base"}`} aria-busy=${live}>
    <header><span class="which" aria-hidden="true"></span><h3>${model.label}</h3>
      ${model.tuned && html`<span class="muted">v${model.version}</span>`}
      ${texts.length === 1 && texts[0] && html`<${Copy} text=${texts[0]} />`}</header>
    ${state === "waiting" && html`<${Waiting} began=${side.began} />`}
    ${texts.map((text, place) => html`<${Candidate} key=${place} text=${text} place=${place} of=${texts.length} around=${around}
      prose=${prose} />`)}
    ${empty && html`<p class="muted quiet-line">${t("try.empty")}</p>`}
    ${state === "stopped" && html`<p class="muted quiet-line"><${Icon} name="stop" />${t("try.stopped")}</p>`}
    ${side.finish === "length" && html`<p class="muted quiet-line"><${Icon} name="warning" />${t("try.finish.length")}</p>`}
    ${error && html`<${Problem} error=${error.status === "BROKEN_OFF" ? { ...error, message: t("try.broken") } : error} retry=${retry} />`}
    ${side.ended && state !== "failed" && html`<${Measured} side=${side} />`}
  </article>`;
}

function Waiting({ began }) {
  const [passed, setPassed] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setPassed(performance.now() - began), 100);
    return () => clearInterval(timer);
  }, [began]);
  return html`<p class="muted quiet-line"><${Icon} name="arc" spin />${t("try.waiting")}
    <span class="ticking">${seconds(passed)} s</span></p>
    ${passed > LOADING_MS && html`<p class="hint">${t("try.loading")}</p>`}`;
}

function Candidate({ text, place, of, around, prose }) {
  return html`<div class="candidate">
    ${of > 1 && html`<div class="numbered"><span class="muted">${t("try.candidate", { number: place + 1 })}</span><${Copy} text=${text} /></div>`}
    ${prose ? html`<${Prose} text=${text} />` : html`<pre tabindex="0" aria-label=${t("try.candidate", { number: place + 1 })}>${
      around && html`<span class="around">${lastLines(around.prefix)}</span>`}<span class=${around ? "filled" : ""}>${text}</span>${
      around && html`<span class="around">${firstLines(around.suffix)}</span>`}</pre>`}
  </div>`;
}

const lastLines = (text) => text.split("\n").slice(-CONTEXT_LINES).join("\n");
const firstLines = (text) => text.split("\n").slice(0, CONTEXT_LINES).join("\n");

/** Words, and code between fences; an open fence is code to the end. */
export function Prose({ text }) {
  const parts = useMemo(() => partsOf(text), [text]);
  return parts.map(({ code, language, said }, place) => code
    ? html`<${CodeBlock} key=${place} code=${said} label=${language || "\u00a0"} />`
    : html`<p key=${place} class="words">${said}</p>`);
}

function partsOf(text) {
  const parts = [];
  let open = null;
  for (const line of text.split("\n")) {
    const fence = /^\s*```\s*([\w+#.-]{0,20})\s*$/.exec(line);
    if (fence && (!open || !open.code || fence[1] === "")) {
      const code = !(open?.code ?? false);
      open = { code, language: fence[1], lines: [] };
      parts.push(open);
    } else {
      if (!open) parts.push((open = { code: false, lines: [] }));
      open.lines.push(line);
    }
  }
  return parts.map(({ lines, ...rest }) => ({ ...rest, said: rest.code ? lines.join("\n") : lines.join("\n").trim() }))
    .filter(({ code, said }) => code || said);
}

function Measured({ side }) {
  const { began, first, ended, outputTokens } = side;
  const rate = first && outputTokens > 1 && ended - first > SHORTEST_MS ? (outputTokens - 1) / ((ended - first) / 1000) : null;
  return html`<p class="measured muted">
    ${first && html`<span>${t("try.first", { time: seconds(first - began) })}</span>`}
    <span>${t("try.whole", { time: seconds(ended - began) })}</span>
    ${outputTokens != null && html`<span>${t("try.tokens", { count: number(outputTokens) })}</span>`}
    ${rate && html`<span>${t("try.rate", { rate: number(rate, rate < 10 ? 1 : 0) })}</span>`}
  </p>`;
}

const seconds = (passedMs) => number(passedMs / 1000, passedMs < 9950 ? 2 : 1);
