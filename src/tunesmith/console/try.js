// Asking a model: code to go on with or a gap to fill, or a chat; beside its base if wanted. What was typed outlives a reload.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { useGet } from "./api.js";
import { number, percent } from "./format.js";
import { count, deploy, samples, targets } from "./predictions.js";
import { project, session, setQuery, useValue } from "./state.js";
import { t } from "./texts.js";
import { Answers, useAsking } from "./answers.js";
import {
  Button, Check, CodeBlock, Dialog, Field, IconButton, Loaded, Note, PageHead, Tabs, TextArea, TextField, Time, useAction,
} from "./parts.js";

const KINDS = ["generation", "chat"];
const DRAFT = "tunesmith.try";
const HISTORY = "tunesmith.try.history";
const MOST_TRIES = 30;
const COUNT_MS = 500;
const DEFAULTS = { temperature: "0", output: "256", candidates: "1", topP: "", topK: "", stops: "", seed: "" };
const EMPTY = { prefix: "", suffix: "", last: null, context: "", examples: [], message: "", sending: "", turns: [], chat: 0, ...DEFAULTS };

export default function Try({ route }) {
  const installation = useGet("/v1/installation");
  const found = useTargets(installation.data);
  const shown = installation.error ? { ...installation, data: null } : found;
  const [open, setOpen] = useState("");
  return html`<${PageHead} title=${t("try.title")} actions=${html`
      <${Button} kind="quiet" onClick=${() => setOpen("history")}>${t("try.history")}<//>
      <${Button} onClick=${() => setOpen("code")} disabled=${!shown.data}>${t("try.code")}<//>`} />
    <${Loaded} of=${shown} lines=${8}>${(data) => html`<${Bench} found=${data} reload=${found.reload} route=${route} open=${open}
      close=${() => setOpen("")} />`}<//>`;
}

function useTargets(installation) {
  const [state, setState] = useState({ data: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let left = false;
    if (installation) {
      targets(installation).then(
        (data) => !left && setState({ data, error: null }),
        (error) => !left && setState((before) => ({ ...before, error })),
      );
    }
    return () => {
      left = true;
    };
  }, [installation, turn]);
  return { ...state, reload: useCallback(() => setTurn((before) => before + 1), []) };
}

/** What is kept in the tab under a name: [value, set]. */
function useKept(name, initial) {
  const [value, setValue] = useState(() => {
    try {
      return JSON.parse(sessionStorage.getItem(name)) ?? initial;
    } catch {
      return initial;
    }
  });
  useEffect(() => {
    try {
      sessionStorage.setItem(name, JSON.stringify(value));
    } catch {
      // Too much for the tab's storage: it then lasts as long as the page.
    }
  }, [name, value]);
  return [value, setValue];
}

function Bench({ found, reload, route, open, close }) {
  const [kept, setKept] = useKept(DRAFT, EMPTY);
  const draft = { ...EMPTY, ...kept };
  const change = useCallback((changes) => setKept((before) => ({ ...before, ...changes })), []);
  const [history, setHistory] = useKept(HISTORY, []);
  const { model, missing } = chosen(found, route.query);
  const beside = model.tuned && route.query.beside !== "0";
  const wrong = wrongs(draft);
  const asking = useAsking();
  const may = useValue(session).principal?.role !== "viewer";
  const ready = may && model.target && Object.keys(wrong).length === 0;
  const keep = (entry) => setHistory((before) =>
    [{ at: new Date().toISOString(), id: model.id, label: model.label, kind: model.kind, ...entry },
      ...before.filter(({ chat }) => !chat || chat !== entry.chat)].slice(0, MOST_TRIES));
  useEffect(() => {
    const press = (event) => event.key === "Escape" && asking.busy && asking.stop();
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [asking.busy]);
  const bringBack = ({ id, kind, draft: before }) => {
    asking.clear();
    change(before);
    setQuery({ model: id, kind });
    close();
  };
  const sides = [model, ...(beside && model.base ? [model.base] : [])];
  const common = { model, sides, draft, change, asking, ready, keep };
  return html`<div class="try">
    <div class="bench">
      <${Choice} found=${found} model=${model} beside=${beside} asking=${asking} />
      <${Remarks} model=${model} missing=${missing} beside=${beside} may=${may} found=${found} reload=${reload} />
      ${model.kind === "chat" ? html`<${Chat} ...${common} />` : html`<${Generation} ...${common} />`}
      <p class="hidden" role="status">${asking.sides.length > 0 && t(asking.busy ? "try.answering" : "try.ended")}</p>
    </div>
    <${Parameters} draft=${draft} change=${change} wrong=${wrong} chat=${model.kind === "chat"} model=${model} />
    ${open === "code" && html`<${ViewCode} model=${model} draft=${draft} onClose=${close} />`}
    ${open === "history" && html`<${History} tries=${history} onUse=${bringBack} onClear=${() => setHistory([])} onClose=${close} />`}
  </div>`;
}

/** The model that the address names, else the first of the kind that it names. */
function chosen({ tuned, reference }, query) {
  const every = [...tuned, ...reference];
  const wanted = (query.model ?? "").split("@")[0];
  const named = query.model && every.find(({ id, name }) => [id, name].includes(query.model) || (id === wanted || name === wanted));
  if (named) return { model: named, missing: "" };
  const fits = every.filter(({ kind }) => kind === (query.kind === "chat" ? "chat" : "generation"));
  return { model: fits[0] ?? every[0], missing: query.model ?? "" };
}

function Choice({ found, model, beside, asking }) {
  const pick = (changes) => {
    asking.stop();
    asking.clear();
    setQuery(changes);
  };
  const fits = (models) => models.filter(({ kind }) => kind === model.kind);
  const option = (one) => html`<option key=${one.id} value=${one.id} selected=${one.id === model.id}>
    ${one.tuned ? `${one.label} \u00b7 v${one.version}` : `${one.label} \u00b7 ${one.baseModel}`}</option>`;
  const tuned = fits(found.tuned);
  return html`<${Tabs} label=${t("try.kind")} current=${model.kind} onChange=${(kind) => pick({ kind, model: "" })}
      tabs=${KINDS.map((id) => ({ id, label: t(`try.${id}`) }))} />
    <div class="choice">
      <${Field} label=${t("try.model")}>${(carry) => html`<select ...${carry} onChange=${(event) => pick({ model: event.target.value })}>
        ${tuned.length > 0 && html`<optgroup label=${t("try.tuned")}>${tuned.map(option)}</optgroup>`}
        <optgroup label=${t("try.reference")}>${fits(found.reference).map(option)}</optgroup></select>`}<//>
      ${model.tuned && html`<${Check} label=${t("try.beside")} checked=${beside && Boolean(model.base)} disabled=${!model.base}
        onChange=${(on) => setQuery({ beside: on ? "" : "0" })} />`}
    </div>`;
}

function Remarks({ model, missing, beside, may, found, reload }) {
  const [run, busy] = useAction();
  const put = () => run(() => deploy(model).then(reload), t("try.deployed"));
  const untuned = !found.tuned.some(({ kind }) => kind === model.kind);
  return html`
    ${!may && html`<${Note} kind="warning">${t("try.viewer")}<//>`}
    ${missing && html`<${Note} kind="warning">${t("try.missing", { name: missing })}<//>`}
    ${untuned && html`<${Note}><p>${t("try.untuned")}</p><${Button} small to="/create">${t("nav.create")}<//><//>`}
    ${!model.target && html`<${Note} kind="warning"><p>${t("try.deploy.text", { name: model.label })}</p>
      <${Button} small kind="primary" busy=${busy} disabled=${!may} onClick=${put}>${t("try.deploy")}<//><//>`}
    ${model.target && model.tuned && model.share < 100 && html`<${Note} kind="warning">
      ${t("try.shared", { share: percent(model.share / 100, 0) })}<//>`}
    ${beside && !model.base && html`<${Note}>${t("try.beside.none")}<//>`}`;
}

// Code to go on with, and gaps.

function Generation({ model, sides, draft, change, asking, ready, keep }) {
  const { prefix, suffix } = draft;
  const instance = { prefix, ...(suffix && { suffix }) };
  const unfit = suffix !== "" && model.fim === false;
  const can = ready && prefix !== "" && !unfit && !asking.busy;
  const tokens = useCount(model.target, instance, prefix !== "" && !unfit);
  const [asked, setAsked] = useState(null);
  const fit = sides.filter((one) => suffix === "" || one.fim !== false);
  const go = async () => {
    if (!can) return;
    const around = suffix ? { prefix, suffix } : null;
    setAsked(around);
    const ended = await asking.start(fit.map((one) => ({ model: one, instance })), parametersOf(draft));
    const last = { id: model.id, sides: ended, around };
    change({ last });
    keep({ draft: { ...parametersIn(draft), prefix, suffix, last }, line: prefix, answer: ended[0].texts[0] ?? "" });
  };
  useSending(go);
  const before = draft.last?.id === model.id ? draft.last : null;
  const shown = asking.sides.length > 0 ? { sides: asking.sides, around: asked } : before;
  return html`<form class="ask" onSubmit=${submits(go)}>
      <${TextArea} label=${t("try.prefix")} hint=${t("try.prefix.hint")} value=${prefix} rows=${5} spellcheck=${false}
        placeholder=${t("try.prefix.example")} onInput=${(text) => change({ prefix: text })} />
      <${TextArea} label=${t("try.suffix")} optional hint=${t("try.suffix.hint")} value=${suffix} rows=${2} spellcheck=${false}
        error=${unfit && t("try.suffix.unknown", { name: model.label })} onInput=${(text) => change({ suffix: text })} />
      ${!unfit && fit.length < sides.length && html`<${Note}>${t("try.suffix.base", { name: sides[1].label })}<//>`}
      <${Sending} asking=${asking} can=${can} word=${t("try.generate")} tokens=${tokens} />
    </form>
    ${shown && html`<section aria-label=${t("try.answers")}>
      <${Answers} sides=${shown.sides} retry=${go} around=${shown.around} /></section>`}`;
}

function Sending({ asking, can, word, tokens, children }) {
  return html`<div class="sending">
    ${asking.busy
      ? html`<${Button} icon="stop" onClick=${asking.stop}>${t("try.stop")}<//>`
      : html`<${Button} kind="primary" icon="play" type="submit" disabled=${!can}>${word}<//>`}
    ${children}
    <span class="muted keys">${t("try.keys")}</span>
    <span class="muted tokens">${tokens != null && t("try.tokens", { count: number(tokens) })}</span>
  </div>`;
}

/** Ctrl+Enter sends, wherever on the page the cursor is. */
function useSending(go) {
  const latest = useRef(go);
  latest.current = go;
  useEffect(() => {
    const press = (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing || event.target.closest("dialog")) return;
      event.preventDefault();
      latest.current();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
}

const submits = (go) => (event) => {
  event.preventDefault();
  go();
};

/** The tokens of an instance, counted by the model once typing pauses; null while nobody knows. */
function useCount(target, instance, worth) {
  const [tokens, setTokens] = useState(null);
  const key = JSON.stringify(instance);
  const mayAsk = worth && Boolean(target);
  useEffect(() => {
    if (!mayAsk) {
      setTokens(null);
      return undefined;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => count(target, JSON.parse(key), abort.signal).then(setTokens, () => {}), COUNT_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [target, key, mayAsk]);
  return mayAsk ? tokens : null;
}

// A chat.

function Chat({ model, sides, draft, change, asking, ready, keep }) {
  const { turns, message } = draft;
  const can = ready && message.trim() !== "" && !asking.busy;
  const end = useRef(null);
  const [sent, setSent] = useState(null);
  const instance = chatInstance(draft, turns, message, 0);
  const tokens = useCount(model.target, instance, message.trim() !== "");
  useEffect(() => {
    if (sent != null) end.current?.scrollIntoView({ block: "end" });
  }, [sent, asking.busy]);
  const go = async (said = message, before = turns) => {
    if (!ready || said.trim() === "" || asking.busy) return;
    setSent(said);
    change({ message: "", sending: said, turns: before });
    const questions = sides.map((one, place) => ({ model: one, instance: chatInstance(draft, before, said, place) }));
    const ended = await asking.start(questions, parametersOf(draft));
    const next = [...before, { message: said, sides: ended }];
    const chat = draft.chat || Date.now();
    setSent(null);
    asking.clear();
    change({ turns: next, chat, sending: "" });
    const { context, examples } = draft;
    keep({ chat, draft: { ...parametersIn(draft), context, examples, chat, turns: next }, line: next[0].message,
      answer: ended[0].texts[0] ?? "" });
  };
  useSending(() => go());
  // What a reload cut short is asked again by whoever wants it.
  useEffect(() => {
    if (draft.sending) change({ message: draft.sending, sending: "" });
  }, []);
  const takeBack = () => change({ turns: turns.slice(0, -1), message: message || turns.at(-1).message });
  const again = () => go(turns.at(-1).message, turns.slice(0, -1));
  return html`<section class="turns" aria-label=${t("try.turns")}>
      ${turns.length === 0 && sent == null && html`<p class="muted begin">${t("try.begin")}</p>`}
      ${turns.map((turn, place) => html`<${Turn} key=${place} turn=${turn} retry=${place === turns.length - 1 ? again : undefined} />`)}
      ${sent != null && html`<${Turn} turn=${{ message: sent, sides: asking.sides }} />`}
      ${turns.length > 0 && !asking.busy && html`<div class="actions">
        <${Button} small kind="quiet" onClick=${again} disabled=${!ready}>${t("try.again")}<//>
        <${Button} small kind="quiet" onClick=${takeBack}>${t("try.back")}<//>
        <${Button} small kind="quiet" onClick=${() => change({ turns: [], message: "", chat: 0 })}>${t("try.new")}<//></div>`}
      <div ref=${end}></div>
    </section>
    <form class="ask composer" onSubmit=${submits(() => go())}>
      <${TextArea} label=${t("try.message")} value=${message} rows=${3} spellcheck=${false} onInput=${(text) => change({ message: text })} />
      <${Sending} asking=${asking} can=${can} word=${t("try.send")} tokens=${tokens} />
    </form>`;
}

function Turn({ turn, retry }) {
  return html`<div class="turn"><div class="mine"><span class="muted">${t("try.you")}</span><p class="words">${turn.message}</p></div>
    <${Answers} sides=${turn.sides} retry=${retry} prose /></div>`;
}

/** A chat up to a message, as the model at that place has heard it: with the answers that it gave itself. */
function chatInstance({ context, examples }, turns, message, place) {
  const messages = [];
  for (const turn of turns) {
    const said = (turn.sides[place] ?? turn.sides[0])?.texts[0];
    if (said) messages.push({ author: "user", content: turn.message }, { author: "bot", content: said });
  }
  messages.push({ author: "user", content: message });
  const pairs = examples.filter(({ input, output }) => input && output)
    .map(({ input, output }) => ({ input: { content: input }, output: { content: output } }));
  return { ...(context && { context }), ...(pairs.length > 0 && { examples: pairs }), messages };
}

// Parameters.

const LIMITS = {
  temperature: [0, 2, false], output: [1, 1_000_000, true], candidates: [1, 8, true], topP: [0, 1, false], topK: [1, 1_000_000, true],
  seed: [0, Number.MAX_SAFE_INTEGER, true],
};

const MOST_TOLD = 1_000_000;

function wrongs(draft) {
  return Object.fromEntries(Object.entries(LIMITS).flatMap(([name, [from, to, isWhole]]) => {
    const text = String(draft[name]).trim();
    const value = Number(text);
    const fits = Number.isFinite(value) && value >= from && value <= to && (!isWhole || Number.isInteger(value));
    return text === "" || fits ? [] : [[name, t(to > MOST_TOLD ? "try.below" : "try.outside", { from: number(from), to: number(to) })]];
  }));
}

const parametersIn = (draft) => Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, draft[name]]));

function parametersOf(draft) {
  const value = (text) => (String(text).trim() === "" ? undefined : Number(text));
  const stops = draft.stops.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n").replaceAll("\\t", "\t"));
  const said = {
    temperature: value(draft.temperature), maxOutputTokens: value(draft.output), candidateCount: value(draft.candidates),
    topP: value(draft.topP), topK: value(draft.topK), stopSequences: stops.length ? stops : undefined, seed: value(draft.seed),
  };
  if (said.candidateCount === 1) delete said.candidateCount;
  return JSON.parse(JSON.stringify(said));
}

function Parameters({ draft, change, wrong, chat, model }) {
  const wide = useMemo(() => window.matchMedia("(min-width: 1100px)").matches, []);
  const field = (name, label, hint, rest = {}) => html`<${TextField} label=${label} hint=${hint} value=${draft[name]} error=${wrong[name]}
    inputmode="decimal" autocomplete="off" onInput=${(text) => change({ [name]: text })} ...${rest} />`;
  return html`<aside class="parameters" aria-label=${t("try.parameters")}><details open=${wide}>
    <summary><h2>${t("try.parameters")}</h2></summary>
    <div class="fields-of">
      ${chat && html`<${TextArea} label=${t("try.context")} optional value=${draft.context} rows=${3} spellcheck=${false}
        hint=${model.context ? t("try.context.tuned") : t("try.context.hint")} placeholder=${model.context}
        onInput=${(text) => change({ context: text })} />`}
      <${Temperature} draft=${draft} change=${change} />
      ${field("output", t("try.output"))}
      ${field("candidates", t("try.candidates"), t(chat ? "try.candidates.chat" : "try.candidates.hint"))}
      <div class="pair">${field("topP", "Top-p", undefined, { placeholder: "1" })}${field("topK", "Top-k")}</div>
      <${TextArea} label=${t("try.stops")} hint=${t("try.stops.hint")} value=${draft.stops} rows=${2} spellcheck=${false}
        onInput=${(text) => change({ stops: text })} />
      ${field("seed", t("try.seed"), t("try.seed.hint"))}
      ${chat && html`<${Examples} examples=${draft.examples} onChange=${(examples) => change({ examples })} />`}
      <div><${Button} small kind="quiet" onClick=${() => change(DEFAULTS)}>${t("try.reset")}<//></div>
    </div></details></aside>`;
}

function Temperature({ draft, change }) {
  return html`<${Field} label=${t("try.temperature")} hint=${t("try.temperature.hint")}>${(carry) => html`<div class="slide">
    <input type="range" min="0" max="2" step="0.1" value=${draft.temperature} ...${carry}
      onInput=${(event) => change({ temperature: event.target.value })} />
    <output for=${carry.id}>${number(Number(draft.temperature), 1)}</output></div>`}<//>`;
}

function Examples({ examples, onChange }) {
  const set = (place, changes) => onChange(examples.map((one, at) => (at === place ? { ...one, ...changes } : one)));
  return html`<div class="examples"><h3>${t("try.examples")}</h3><p class="hint">${t("try.examples.hint")}</p>
    ${examples.map(({ input, output }, place) => html`<div class="example" key=${place}>
      <${IconButton} icon="trash" label=${t("try.example.remove", { number: place + 1 })}
        onClick=${() => onChange(examples.filter((_, at) => at !== place))} />
      <${TextArea} label=${t("try.example.question", { number: place + 1 })} value=${input} rows=${2}
        onInput=${(text) => set(place, { input: text })} />
      <${TextArea} label=${t("try.example.answer", { number: place + 1 })} value=${output} rows=${2}
        onInput=${(text) => set(place, { output: text })} /></div>`)}
    <${Button} small icon="create" onClick=${() => onChange([...examples, { input: "", output: "" }])}>${t("try.example.add")}<//></div>`;
}

// The same as code, and what was asked before.

function ViewCode({ model, draft, onClose }) {
  const [kind, setKind] = useState("curl");
  const { prefix, suffix } = draft;
  const instance = model.kind === "chat"
    ? chatInstance(draft, draft.turns, draft.message || t("try.message"), 0)
    : { prefix: prefix || t("try.prefix.example"), ...(suffix && { suffix }) };
  const all = samples({
    model, target: model.target ?? `${model.name.split("/models/")[0]}/endpoints/ENDPOINT`, instance, parameters: parametersOf(draft),
    origin: window.location.origin, project: project(), keys: session.get().keysRequired,
  });
  const shown = all.find(({ id }) => id === kind);
  return html`<${Dialog} title=${t("try.code")} onClose=${onClose} wide><p class="muted">${t("try.code.text")}</p>
    <div><${Tabs} label=${t("try.code.kind")} tabs=${all} current=${kind} onChange=${setKind} />
      <${CodeBlock} code=${shown.code} label=${shown.label} /></div><//>`;
}

function History({ tries, onUse, onClear, onClose }) {
  return html`<${Dialog} title=${t("try.history")} onClose=${onClose} wide
    actions=${tries.length > 0 && html`<${Button} kind="quiet" icon="trash" onClick=${onClear}>${t("try.history.clear")}<//>`}>
    <p class="muted">${tries.length ? t("try.history.note") : t("try.history.none")}</p>
    ${tries.length > 0 && html`<ul class="tries">${tries.map((one) => html`<li key=${one.at}>
      <div><p class="muted"><${Time} at=${one.at} /> \u00b7 ${one.label} \u00b7 ${t(`try.${one.kind}`)}</p>
        <p class="line">${one.line}</p><p class="line muted">${one.answer}</p></div>
      <${Button} small onClick=${() => onUse(one)}>${t("try.history.use")}<//></li>`)}</ul>`}<//>`;
}
