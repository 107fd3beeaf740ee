// A look into the buckets of a project, to choose an object or a folder in them.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { get, useGet } from "./api.js";
import { Icon } from "./icons.js";
import { bytes, number, when } from "./format.js";
import { project } from "./state.js";
import { t } from "./texts.js";
import { Button, Dialog, Loaded, Problem, Skeleton } from "./parts.js";

const PAGE = 500;

/** gs://bucket/a/b -> {bucket, name: "a/b"}. */
export function placeOf(uri) {
  const [, bucket = "", name = ""] = /^gs:\/\/([^/]*)\/?(.*)$/s.exec(uri ?? "") ?? [];
  return { bucket, name };
}

/**
 * BucketDialog: title, start (an address to begin at), folders (choose a folder instead of an object), onChoose(uri),
 * onClose. Objects that lie deeper are behind folders; what is typed narrows the list to names that begin so.
 */
export function BucketDialog({ title, start = "", folders = false, onChoose, onClose }) {
  const [place, setPlace] = useState(() => {
    const { bucket, name } = placeOf(start);
    return { bucket, folder: name.slice(0, name.lastIndexOf("/") + 1) };
  });
  const choose = (name) => {
    onChoose(`gs://${place.bucket}/${name}`.replace(/\/$/, ""));
    onClose();
  };
  return html`<${Dialog} wide title=${title} onClose=${onClose} actions=${html`
      <${Button} onClick=${onClose}>${t("part.cancel")}<//>
      ${folders && html`<${Button} kind="primary" disabled=${!place.bucket} onClick=${() => choose(place.folder)}>
        ${t("bucket.this.folder")}<//>`}`}>
    <${Crumbs} place=${place} onPlace=${setPlace} />
    ${place.bucket
      ? html`<${Objects} key=${`${place.bucket}/${place.folder}`} place=${place} folders=${folders} onPlace=${setPlace} onChoose=${choose} />`
      : html`<${Buckets} onPlace=${setPlace} />`}
  <//>`;
}

function Crumbs({ place, onPlace }) {
  const parts = place.folder.split("/").filter(Boolean);
  const steps = [
    { label: t("bucket.all"), to: { bucket: "", folder: "" } },
    ...(place.bucket ? [{ label: place.bucket, to: { bucket: place.bucket, folder: "" } }] : []),
    ...parts.map((label, depth) => ({ label, to: { bucket: place.bucket, folder: `${parts.slice(0, depth + 1).join("/")}/` } })),
  ];
  return html`<nav class="places" aria-label=${t("part.crumbs")}>${steps.map(({ label, to }, depth) => html`
    ${depth > 0 && html`<span aria-hidden="true">/</span>`}
    <button type="button" class="link" aria-current=${depth === steps.length - 1 ? "location" : undefined}
      onClick=${() => onPlace(to)}>${label}</button>`)}</nav>`;
}

function Buckets({ onPlace }) {
  const list = useGet("/storage/v1/b", { query: { project: project() } });
  return html`<${Loaded} of=${list}>${({ items = [] }) => items.length === 0
    ? html`<p class="muted">${t("bucket.none")}</p>`
    : html`<ul class="entries">${items.map(({ name }) => html`<li key=${name}>
        <button type="button" onClick=${() => onPlace({ bucket: name, folder: "" })}><${Icon} name="datasets" /><span>${name}</span></button>
      </li>`)}</ul>`}<//>`;
}

function Objects({ place, folders, onPlace, onChoose }) {
  const [typed, setTyped] = useState("");
  const { entries, error, loading, more } = useObjects(place, typed);
  const box = useRef(null);
  useEffect(() => box.current?.focus(), []);
  const open = ({ folder, name }) => (folder ? onPlace({ ...place, folder: name }) : onChoose(name));
  return html`<label class="search"><${Icon} name="search" />
      <input ref=${box} type="search" value=${typed} placeholder=${t("bucket.begins")} aria-label=${t("bucket.begins")}
        onInput=${(event) => setTyped(event.target.value)} /></label>
    ${error && html`<${Problem} error=${error} />`}
    <ul class="entries" aria-busy=${loading}>${entries.map((entry) => html`<li key=${entry.name}>
      <button type="button" disabled=${folders && !entry.folder} onClick=${() => open(entry)}>
        <${Icon} name=${entry.folder ? "folder" : "file"} /><span>${entry.name.slice(place.folder.length)}</span>
        ${!entry.folder && html`<span class="muted">${bytes(entry.size)}</span><span class="muted">${when(entry.updated)}</span>`}
      </button></li>`)}</ul>
    ${loading && entries.length === 0 && html`<${Skeleton} lines=${4} />`}
    <p class="muted" aria-live="polite">${!loading && !error && (entries.length === 0 ? t("bucket.empty")
      : t("bucket.count", { count: number(entries.length) }))}</p>
    ${more && html`<div><${Button} small busy=${loading} onClick=${more}>${t("bucket.more")}<//></div>`}`;
}

/** What lies in a folder and begins with what was typed, page after page. */
function useObjects({ bucket, folder }, typed) {
  const [state, setState] = useState({ entries: [], error: null, loading: true, token: "" });
  const [turn, setTurn] = useState({ typed, pageToken: "" });
  useEffect(() => {
    const timer = setTimeout(() => setTurn({ typed, pageToken: "" }), turn.typed === typed ? 0 : 200);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => {
    const abort = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    const query = { prefix: folder + turn.typed, delimiter: "/", maxResults: PAGE, pageToken: turn.pageToken };
    get(`/storage/v1/b/${encodeURIComponent(bucket)}/o`, { query, signal: abort.signal }).then(({ items = [], prefixes = [], nextPageToken = "" }) => {
      const found = [
        ...prefixes.map((name) => ({ name, folder: true })),
        ...items.filter(({ name }) => name !== folder).map(({ name, size, updated }) => ({ name, size, updated })),
      ];
      setState((before) => ({
        entries: turn.pageToken ? [...before.entries, ...found] : found, error: null, loading: false, token: nextPageToken,
      }));
    }, (error) => {
      if (error.name !== "AbortError") setState((before) => ({ ...before, error, loading: false }));
    });
    return () => abort.abort();
  }, [bucket, folder, turn]);
  const more = useMemo(() => (state.token ? () => setTurn({ typed: turn.typed, pageToken: state.token }) : null), [state.token, turn]);
  return { ...state, more };
}
