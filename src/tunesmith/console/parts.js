// The parts that pages are made of. Each says in its comment what it takes; what people typed is always text.
import { html, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Icon } from "./icons.js";
import { duration, moment, when } from "./format.js";
import { address, go, store, useValue } from "./state.js";
import { has, t } from "./texts.js";

let counted = 0;
/** An id that nothing else on the page has. */
export const useId = (prefix = "part") => useMemo(() => `${prefix}-${(counted += 1)}`, []);

/** A link within the console: to (path or address), query, class. */
export function Link({ to, query, children, ...rest }) {
  const href = to.includes("?") ? to : address(to, query);
  const follow = (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(href);
  };
  return html`<a href=${href} onClick=${follow} ...${rest}>${children}</a>`;
}

/** Button: kind "plain" | "primary" | "danger" | "quiet", icon, busy, to (then a link), and what a <button> takes. */
export function Button({ kind = "plain", icon, busy = false, to, query, small = false, children, disabled, ...rest }) {
  const look = `button ${kind}${small ? " small" : ""}`;
  const inner = html`${busy ? html`<${Icon} name="arc" spin />` : icon && html`<${Icon} name=${icon} />`}
    ${children && html`<span>${children}</span>`}`;
  if (to && !disabled) return html`<${Link} to=${to} query=${query} class=${look} ...${rest}>${inner}<//>`;
  return html`<button type="button" class=${look} disabled=${disabled || busy} aria-busy=${busy} ...${rest}>${inner}</button>`;
}

/** A button that is a picture only: icon, label (what a reader of the screen hears, and the tooltip). */
export function IconButton({ icon, label, ...rest }) {
  return html`<button type="button" class="button quiet square" aria-label=${label} title=${label} ...${rest}>
    <${Icon} name=${icon} />
  </button>`;
}

/** A labelled control: label, hint, error, and children as a function of what the control has to carry. */
export function Field({ label, hint, error, optional = false, children, class: extra = "" }) {
  const id = useId("field");
  const said = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return html`<div class=${`field ${extra}${error ? " wrong" : ""}`}>
    <label for=${id}>${label}${optional && html` <span class="muted">${t("part.optional")}</span>`}</label>
    ${children({ id, "aria-describedby": said || undefined, "aria-invalid": error ? "true" : undefined })}
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    ${error && html`<p class="error" id=${`${id}-error`}><${Icon} name="warning" />${error}</p>`}
  </div>`;
}

/** Field with a line of text: label, value, onInput(text), hint, error, type, and what an <input> takes. */
export function TextField({ label, hint, error, optional, value, onInput, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} error=${error} optional=${optional}>
    ${(carry) => html`<input type="text" value=${value} onInput=${(event) => onInput(event.target.value)} ...${carry} ...${rest} />`}
  <//>`;
}

/** Field with several lines: as TextField, rows. */
export function TextArea({ label, hint, error, optional, value, onInput, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} error=${error} optional=${optional}>
    ${(carry) => html`<textarea value=${value} onInput=${(event) => onInput(event.target.value)} ...${carry} ...${rest}></textarea>`}
  <//>`;
}

/** Field with a choice: options [{value, label}], value, onChange(value). */
export function SelectField({ label, hint, error, optional, value, onChange, options, ...rest }) {
  return html`<${Field} label=${label} hint=${hint} error=${error} optional=${optional}>
    ${(carry) => html`<${Select} value=${value} onChange=${onChange} options=${options} ...${carry} ...${rest} />`}
  <//>`;
}

/** A choice without a label of its own: give it aria-label. */
export function Select({ value, onChange, options, ...rest }) {
  return html`<select value=${value} onChange=${(event) => onChange(event.target.value)} ...${rest}>
    ${options.map((option) => html`<option key=${option.value} value=${option.value} selected=${option.value === value}>
      ${option.label}</option>`)}
  </select>`;
}

/** A box to tick: label, checked, onChange(checked), hint. */
export function Check({ label, checked, onChange, hint, ...rest }) {
  const id = useId("check");
  return html`<div class="check">
    <input type="checkbox" id=${id} checked=${checked} onChange=${(event) => onChange(event.target.checked)}
      aria-describedby=${hint ? `${id}-hint` : undefined} ...${rest} />
    <label for=${id}>${label}</label>
    ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
  </div>`;
}

/** One of a few, all seen: label, options [{value, label, hint}], value, onChange(value). */
export function Radios({ label, options, value, onChange }) {
  const id = useId("radios");
  return html`<fieldset class="radios"><legend>${label}</legend>
    ${options.map((option, number) => html`<div class="check" key=${option.value}>
      <input type="radio" id=${`${id}-${number}`} name=${id} checked=${option.value === value}
        disabled=${option.disabled} onChange=${() => onChange(option.value)} />
      <label for=${`${id}-${number}`}>${option.label}</label>
      ${option.hint && html`<p class="hint">${option.hint}</p>`}
    </div>`)}
  </fieldset>`;
}

/** A search box: value, onInput(text) once typing pauses, label. "/" puts the cursor there. */
export function Search({ value, onInput, label }) {
  const [text, setText] = useState(value);
  const box = useRef(null);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    const press = (event) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      box.current?.focus();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  const typed = (event) => {
    const said = event.target.value;
    setText(said);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onInput(said), 250);
  };
  return html`<label class="search"><${Icon} name="search" />
    <input ref=${box} type="search" value=${text} onInput=${typed} placeholder=${label} aria-label=${label} />
  </label>`;
}

/** Tabs: tabs [{id, label, count}], current, onChange(id), label. Arrow keys move. */
export function Tabs({ tabs, current, onChange, label }) {
  const row = useRef(null);
  const press = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = tabs.findIndex((tab) => tab.id === current);
    const next = tabs[(place + step + tabs.length) % tabs.length];
    event.preventDefault();
    onChange(next.id);
    row.current?.querySelector(`[data-tab="${next.id}"]`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} ref=${row} onKeyDown=${press}>
    ${tabs.map((tab) => html`<button key=${tab.id} type="button" role="tab" data-tab=${tab.id} aria-selected=${tab.id === current}
      tabindex=${tab.id === current ? 0 : -1} onClick=${() => onChange(tab.id)}>
      ${tab.label}${tab.count != null && html` <span class="count">${tab.count}</span>`}</button>`)}
  </div>`;
}

/** A dialog over the page: title, onClose, children, actions (buttons). Escape closes; the focus stays in it. */
export function Dialog({ title, onClose, children, actions, wide = false }) {
  const box = useRef(null);
  const gone = useRef(false);
  const id = useId("dialog");
  useEffect(() => {
    const before = document.activeElement;
    const shown = box.current;
    shown.showModal();
    shown.querySelector(".body input, .body select, .body textarea")?.focus();
    return () => {
      gone.current = true;
      shown.close(); // while it is open, nothing outside it can be focused
      if (before?.isConnected) before.focus();
    };
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  // A second Escape closes it whatever we say to `cancel`; who showed the dialog decides.
  const closed = () => {
    if (gone.current) return;
    box.current?.showModal();
    onClose();
  };
  return html`<dialog ref=${box} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${cancel} onClose=${closed}
    onClick=${(event) => event.target === box.current && onClose()}>
    <div class="dialog">
      <header><h2 id=${id}>${title}</h2><${IconButton} icon="close" label=${t("part.close")} onClick=${onClose} /></header>
      <div class="body">${children}</div>
      ${actions && html`<footer>${actions}</footer>`}
    </div>
  </dialog>`;
}

/** Asks before something that cannot be taken back: title, text, action (the word on the button), onYes (async), onClose. */
export function Confirm({ title, text, action, onYes, onClose }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const yes = async () => {
    setBusy(true);
    try {
      await onYes();
      onClose();
    } catch (wrong) {
      setError(wrong);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${html`
      <${Button} onClick=${onClose}>${t("part.cancel")}<//>
      <${Button} kind="danger" busy=${busy} onClick=${yes}>${action}<//>`}>
    <p>${text}</p>
    ${error && html`<${Problem} error=${error} />`}
  <//>`;
}

/** A menu behind three dots: label, items [{label, icon, onClick, to, danger, disabled}]. */
export function Menu({ label, items }) {
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  const id = useId("menu");
  useEffect(() => {
    if (!open) return undefined;
    box.current.querySelector('[role="menuitem"]:not([disabled])')?.focus();
    const away = (event) => !box.current?.contains(event.target) && setOpen(false);
    document.addEventListener("pointerdown", away);
    return () => document.removeEventListener("pointerdown", away);
  }, [open]);
  const close = () => {
    setOpen(false);
    box.current?.querySelector("button")?.focus();
  };
  const press = (event) => {
    if (event.key === "Escape" && open) {
      event.stopPropagation();
      close();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !open) return;
    event.preventDefault();
    const entries = [...box.current.querySelectorAll('[role="menuitem"]:not([disabled])')];
    entries[(entries.indexOf(document.activeElement) + step + entries.length) % entries.length]?.focus();
  };
  return html`<div class="menu" ref=${box} onKeyDown=${press}>
    <button type="button" class="button quiet square" aria-label=${label} title=${label} aria-haspopup="menu"
      aria-expanded=${open} aria-controls=${id} onClick=${() => setOpen(!open)}><${Icon} name="dots" /></button>
    ${open && html`<div class="sheet" role="menu" id=${id} aria-label=${label}>
      ${items.map((item) => html`<button key=${item.label} type="button" role="menuitem" class=${item.danger ? "danger" : ""}
        disabled=${item.disabled} onClick=${() => {
          close();
          if (item.to) go(item.to);
          else item.onClick();
        }}>${item.icon && html`<${Icon} name=${item.icon} />`}<span>${item.label}</span></button>`)}
    </div>`}
  </div>`;
}

// What is said.

const SHAPES = {
  SUCCEEDED: ["check", "good"], READY: ["check", "good"], DEPLOYED: ["check", "good"], DONE: ["check", "good"],
  FAILED: ["cross", "bad"],
  RUNNING: ["arc", "live"], STARTING: ["arc", "live"], CANCELLING: ["arc", "live"], PAUSING: ["arc", "live"],
  QUEUED: ["ring", "calm"], PENDING: ["ring", "calm"],
  PAUSED: ["pause", "calm"],
  CANCELLED: ["slash", "calm"], SKIPPED: ["slash", "calm"], NOT_TRIGGERED: ["slash", "calm"],
};

/** A state as shape and word: state (RUNNING, ...), note (a few words more). */
export function StateMark({ state, note = "" }) {
  const [icon, tone] = SHAPES[state] ?? ["ring", "calm"];
  const word = has(`state.${state}`) ? t(`state.${state}`) : state;
  return html`<span class=${`state ${tone}`}><${Icon} name=${icon} spin=${tone === "live"} />
    <span>${word}</span>${note && html` <span class="muted">${note}</span>`}</span>`;
}

/** How far something is: value 0 to 1, or null while nobody knows; label. */
export function Progress({ value, label }) {
  const share = value == null ? null : Math.max(0, Math.min(1, value));
  return html`<div class=${`progress${share == null ? " unknown" : ""}`} role="progressbar" aria-label=${label} aria-valuemin="0"
    aria-valuemax="100" aria-valuenow=${share == null ? undefined : Math.round(share * 100)}>
    <span style=${{ width: share == null ? "30%" : `${share * 100}%` }}></span></div>`;
}

/** Nothing is here yet: title, text, and what to do next (children). */
export function Empty({ icon = "info", title, text, children }) {
  return html`<div class="empty"><${Icon} name=${icon} /><h2>${title}</h2><p>${text}</p>
    ${children && html`<div class="actions">${children}</div>`}</div>`;
}

/** What went wrong, in the server's words, and how to go on: error (ApiError), retry. */
export function Problem({ error, retry, title }) {
  const lost = error.status === "UNREACHABLE";
  const told = lost ? t("error.unreachable") : error.message;
  const rest = (error.violations ?? []).filter(({ field, description }) => !told.includes(`${field}: ${description}`));
  return html`<div class="problem" role="alert"><${Icon} name="warning" /><div>
    <p><strong>${title ?? t(lost ? "error.lost" : error.http === 403 ? "error.denied" : "error.title")}</strong></p>
    <p class="said">${told}</p>
    ${rest.length > 0 && html`<ul>${rest.map(({ field, description }) =>
      html`<li><code>${field}</code> ${description}</li>`)}</ul>`}
    ${retry && html`<${Button} small onClick=${retry}>${t("error.again")}<//>`}
  </div></div>`;
}

/** A remark: kind "info" | "warning" | "good", children. */
export function Note({ kind = "info", children }) {
  const icon = { info: "info", warning: "warning", good: "check" }[kind];
  return html`<div class=${`note ${kind}`}><${Icon} name=${icon} /><div>${children}</div></div>`;
}

/** Grey lines where something is on its way: lines. */
export function Skeleton({ lines = 3 }) {
  return html`<div class="skeleton" role="status" aria-label=${t("part.loading")}>
    ${Array.from({ length: lines }, (_, number) => html`<span key=${number}></span>`)}</div>`;
}

/** What useGet gave: children(data) once there are data; a skeleton before, the problem if there is one. */
export function Loaded({ of, lines, children }) {
  if (of.data) return html`${of.error && html`<${Problem} error=${of.error} retry=${of.reload} />`}${children(of.data)}`;
  if (of.error) return html`<${Problem} error=${of.error} retry=${of.reload} />`;
  return html`<${Skeleton} lines=${lines} />`;
}

/** A time, told shortly; the whole of it on hovering. */
export function Time({ at }) {
  return at ? html`<time datetime=${at} title=${moment(at)}>${when(at)}</time>` : "";
}

/** How long it took, or has taken so far: from, to (none: still counting). */
export function Lasting({ from, to }) {
  const [, setNow] = useState(0);
  useEffect(() => {
    if (!from || to) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [from, to]);
  return from ? duration(((to ? new Date(to) : new Date()) - new Date(from)) / 1000) : "";
}

/** Copies a text: text, label. */
export function Copy({ text, label }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await copied(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="button quiet small" onClick=${copy}><${Icon} name=${done ? "check" : "copy"} />
    <span aria-live="polite">${done ? t("part.copied") : label ?? t("part.copy")}</span></button>`;
}

async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // A page that did not come over https, or from this machine, has no clipboard of its own.
  const box = document.createElement("textarea");
  box.value = text;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  return box.remove();
}

/** Code to read and to copy: code, label, wrap. */
export function CodeBlock({ code, label, wrap = false }) {
  return html`<figure class="code"><figcaption><span>${label}</span><${Copy} text=${code} /></figcaption>
    <pre class=${wrap ? "wrap" : ""} tabindex="0" aria-label=${label}><code>${code}</code></pre></figure>`;
}

/** Names and values: rows [[label, value, hint]]. */
export function Facts({ rows }) {
  return html`<dl class="facts">${rows.filter((row) => row && row[1] !== "" && row[1] != null).map(([label, value, hint]) => html`
    <div key=${label}><dt>${label}</dt><dd>${value}${hint && html` <span class="muted">${hint}</span>`}</dd></div>`)}</dl>`;
}

/** Large figures in a row: items [{label, value, note}]. */
export function Figures({ items }) {
  return html`<dl class="figures">${items.filter(Boolean).map(({ label, value, note }) => html`
    <div key=${label}><dt>${label}</dt><dd>${value === "" || value == null ? "\u2013" : value}</dd>
    ${note && html`<dd class="muted">${note}</dd>`}</div>`)}</dl>`;
}

/** A part of a page: title, actions, children. */
export function Section({ title, actions, children, class: extra = "", id }) {
  const own = useId("section");
  return html`<section class=${`section ${extra}`} aria-labelledby=${own} id=${id}>
    <header><h2 id=${own}>${title}</h2>${actions && html`<div class="actions">${actions}</div>`}</header>
    ${children}</section>`;
}

/** The head of a page: title, crumbs [{label, to}], note, actions. Sets the window's title. */
export function PageHead({ title, crumbs = [], note, actions }) {
  useEffect(() => {
    document.title = `${title} \u00b7 Tunesmith`;
  }, [title]);
  return html`<header class="page-head">
    ${crumbs.length > 0 && html`<nav class="crumbs" aria-label=${t("part.crumbs")}>
      ${crumbs.map(({ label, to }) => html`<${Link} key=${to} to=${to}>${label}<//><span aria-hidden="true">/</span>`)}</nav>`}
    <div class="row"><div><h1 tabindex="-1">${title}</h1>${note && html`<div class="note-line">${note}</div>`}</div>
      ${actions && html`<div class="actions">${actions}</div>`}</div>
  </header>`;
}

// Short messages in the corner.

const toasts = store([]);

/** Says something for a few seconds: text, kind "good" | "bad". */
export function toast(text, kind = "good") {
  const said = { text, kind, key: (counted += 1) };
  toasts.set([...toasts.get(), said]);
  setTimeout(() => toasts.set(toasts.get().filter((one) => one !== said)), kind === "bad" ? 10000 : 4000);
}

export function Toasts() {
  const said = useValue(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${said.map(({ text, kind, key }) => html`<div key=${key} class=${`toast ${kind}`}>
      <${Icon} name=${kind === "bad" ? "warning" : "check"} /><span>${text}</span></div>`)}</div>`;
}

/** Does something and says how it went: run(async function, text when it is done). */
export function useAction() {
  const [busy, setBusy] = useState(false);
  const run = useCallback(async (what, done) => {
    setBusy(true);
    try {
      const result = await what();
      if (done) toast(done);
      return result;
    } catch (error) {
      toast(error.status === "UNREACHABLE" ? t("error.unreachable") : error.message, "bad");
      return undefined;
    } finally {
      setBusy(false);
    }
  }, []);
  return [run, busy];
}

// Tables.

const AHEAD = 12;

/**
 * Rows of things, of which only those in sight are drawn: columns [{id, label, render(row), sortable, align, width, main,
 * hide}] (`main` begins the row and its card on a small screen, `hide` leaves the small screen out), rows, keyOf(row),
 * to(row) (where a row leads), sort {by, falling}, onSort(by), selected (Set of keys), onSelect(key, on), onEnd (more
 * rows are wanted), changed (Set of keys to mark), label, rowHeight.
 */
export function Table({
  columns, rows, keyOf, to, sort, onSort, selected, onSelect, onEnd, changed, label, rowHeight = 41, cardHeight = 132,
}) {
  const body = useRef(null);
  const small = useSmall();
  const height = small ? cardHeight : rowHeight;
  const [from, until] = useWindow(body, rows.length, height);
  useEffect(() => {
    if (onEnd && until >= rows.length) onEnd();
  }, [until, rows.length, onEnd]);
  const shown = rows.slice(from, until);
  return html`<div class=${`table${onSelect ? " selectable" : ""}`} role="table" aria-label=${label} aria-rowcount=${rows.length + 1}
    style=${{ "--columns": columns.map((column) => column.width ?? "minmax(0, 1fr)").join(" ") }}>
    <div role="rowgroup" class="head"><div role="row" aria-rowindex="1">
      ${onSelect && html`<span role="columnheader"><span class="hidden">${t("part.select")}</span></span>`}
      ${columns.map((column) => html`<${Head} key=${column.id} column=${column} sort=${sort} onSort=${onSort} />`)}
    </div></div>
    <div role="rowgroup" class="body" ref=${body} style=${{ height: `${rows.length * height}px` }}>
      <div style=${{ transform: `translateY(${from * height}px)` }}>
        ${shown.map((row, number) => html`<${Row} key=${keyOf(row)} row=${row} id=${keyOf(row)} columns=${columns} to=${to}
          place=${from + number + 2} height=${height} selected=${selected} onSelect=${onSelect}
          isChanged=${changed?.has(keyOf(row)) ?? false} />`)}
      </div>
    </div>
  </div>`;
}

function Head({ column, sort, onSort }) {
  const by = sort?.by === column.id;
  const order = by ? (sort.falling ? "descending" : "ascending") : column.sortable ? "none" : undefined;
  const look = `${column.align === "end" ? "end " : ""}${column.hide ? "hide" : ""}`;
  if (!column.sortable) return html`<span role="columnheader" class=${look}>${column.label}</span>`;
  return html`<span role="columnheader" aria-sort=${order} class=${look}>
    <button type="button" onClick=${() => onSort(column.id)}>${column.label}
      ${by && html`<${Icon} name=${sort.falling ? "down" : "up"} />`}</button></span>`;
}

function Row({ row, id, columns, to, place, height, selected, onSelect, isChanged }) {
  const target = to?.(row);
  const open = (event) => {
    if (!target || event.target.closest("a, button, input, label, [role=menu]")) return;
    if (window.getSelection()?.toString()) return;
    if (event.metaKey || event.ctrlKey) window.open(target.includes("?") ? target : address(target));
    else go(target);
  };
  return html`<div role="row" aria-rowindex=${place} class=${`${target ? "opens" : ""}${isChanged ? " changed" : ""}`}
    style=${{ height: `${height}px` }} onClick=${open}>
    ${onSelect && html`<span role="cell" class="pick"><input type="checkbox" checked=${selected.has(id)} aria-label=${t("part.select")}
      onChange=${(event) => onSelect(id, event.target.checked)} /></span>`}
    ${columns.map((column) => html`<span role="cell" key=${column.id} data-label=${column.label}
      class=${`${column.align === "end" ? "end " : ""}${column.main ? "main " : ""}${column.hide ? "hide" : ""}`}>
      ${column.main && target ? html`<${Link} to=${target}>${column.render(row)}<//>` : column.render(row)}</span>`)}
  </div>`;
}

function useSmall() {
  const query = useMemo(() => window.matchMedia("(max-width: 719px)"), []);
  const [small, setSmall] = useState(query.matches);
  useEffect(() => {
    const changed = () => setSmall(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return small;
}

/** Which rows are in sight: [first, behind the last]. */
function useWindow(body, count, height) {
  const [range, setRange] = useState([0, Math.min(count, 40)]);
  useLayoutEffect(() => {
    const look = () => {
      if (!body.current) return;
      const top = -body.current.getBoundingClientRect().top;
      const from = Math.max(0, Math.floor(top / height) - AHEAD);
      const until = Math.min(count, Math.ceil((top + window.innerHeight) / height) + AHEAD);
      setRange(([a, b]) => (a === from && b === until ? [a, b] : [Math.min(from, until), until]));
    };
    look();
    document.addEventListener("scroll", look, { passive: true, capture: true });
    window.addEventListener("resize", look);
    return () => {
      document.removeEventListener("scroll", look, { capture: true });
      window.removeEventListener("resize", look);
    };
  }, [count, height]);
  return [range[0], Math.max(range[1], 0)];
}
