// Data sets: what lies in the buckets, and what was built of codebases.
import { html, useMemo, useRef, useState } from "./html.js";
import { get, parent, post, remove, upload, useGet } from "./api.js";
import { bytes, nameOf, number, stateOf } from "./format.js";
import { project, setQuery } from "./state.js";
import { t } from "./texts.js";
import {
  Button, Confirm, Dialog, Empty, Lasting, Loaded, Menu, PageHead, Problem, Progress, StateMark, Table, Tabs, TextField, Time,
  toast, useAction,
} from "./parts.js";
import { BuildDialog } from "./build_dialog.js";

const LIVE_MS = 2500;
const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);

export default function DataSets({ route }) {
  const { tab = "builds", bucket = "", prefix = "" } = route.query;
  return html`<${PageHead} title=${t("datasets.title")} note=${t("datasets.note")} />
    <${Tabs} label=${t("datasets.title")} current=${tab} onChange=${(next) => setQuery({ tab: next, bucket: "", prefix: "" })} tabs=${[
      { id: "builds", label: t("datasets.builds") }, { id: "buckets", label: t("datasets.buckets") }]} />
    ${tab === "buckets"
      ? bucket ? html`<${Objects} key=${bucket} bucket=${bucket} prefix=${prefix} />` : html`<${Buckets} />`
      : html`<${Builds} />`}`;
}

// Builds.

function Builds() {
  const list = useGet(`${parent("-")}/datasetBuildJobs`, { query: { pageSize: 200 }, every: LIVE_MS });
  const [asking, setAsking] = useState(false);
  const [deleting, setDeleting] = useState(null);
  const [run] = useAction();
  const columns = useMemo(() => buildColumns({
    cancel: (job) => run(() => post(`/v1/${job.name}:cancel`, {}).then(list.reload), t("datasets.cancelling")),
    remove: setDeleting,
  }), [list.reload]);
  const make = html`<${Button} kind="primary" icon="create" onClick=${() => setAsking(true)}>${t("datasets.build")}<//>`;
  return html`<${Loaded} of=${list}>${(data) => {
    const jobs = data.datasetBuildJobs ?? [];
    if (jobs.length === 0) {
      return html`<${Empty} icon="datasets" title=${t("datasets.none")} text=${t("datasets.none.text")}>${make}<//>`;
    }
    return html`<div class="tools">${make}</div>
      <${Table} label=${t("datasets.builds")} columns=${columns} rows=${jobs} keyOf=${(job) => job.name} to=${placeOf} cardHeight=${150} />`;
  }}<//>
  ${asking && html`<${BuildDialog} onClose=${() => setAsking(false)} onMade=${list.reload} />`}
  ${deleting && html`<${Confirm} title=${t("datasets.delete.title", { name: deleting.displayName })} text=${t("datasets.delete.text")}
    action=${t("datasets.delete")} onClose=${() => setDeleting(null)}
    onYes=${() => remove(`/v1/${deleting.name}`).then(list.reload)} />`}`;
}

function placeOf(job) {
  const { location, id } = nameOf(job.name);
  return `/datasets/${location}/${id}`;
}

function buildColumns(act) {
  return [
    { id: "name", label: t("datasets.name"), main: true, width: "minmax(140px, 2fr)",
      render: (job) => job.displayName },
    { id: "state", label: t("datasets.state"), width: "minmax(120px, 1.2fr)", render: (job) => html`<${BuildState} job=${job} />` },
    { id: "source", label: t("datasets.source"), hide: true, width: "minmax(140px, 2fr)",
      render: (job) => html`<span title=${job.codebaseSource?.repository}>${job.codebaseSource?.repository}</span>` },
    { id: "files", label: t("datasets.files"), align: "end", width: "minmax(90px, 0.9fr)",
      render: (job) => job.statistics && t("datasets.of", {
        used: number(job.statistics.files.used ?? 0), total: number(job.statistics.files.total) }) },
    { id: "rows", label: t("datasets.rows"), align: "end", width: "minmax(90px, 0.9fr)", render: (job) => rowsOf(job) },
    { id: "created", label: t("datasets.created"), align: "end", width: "minmax(96px, 0.8fr)",
      render: (job) => html`<${Time} at=${job.createTime} />` },
    { id: "lasting", label: t("datasets.lasting"), align: "end", hide: true, width: "minmax(72px, 0.6fr)",
      render: (job) => html`<${Lasting} from=${job.startTime} to=${job.endTime} />` },
    { id: "actions", label: "", align: "end", width: "32px", render: (job) => {
      const ended = ENDED.has(stateOf(job.state));
      return html`<${Menu} label=${t("datasets.actions", { name: job.displayName })} items=${[ended
        ? { label: t("datasets.delete"), icon: "trash", danger: true, onClick: () => act.remove(job) }
        : { label: t("datasets.cancel"), icon: "stop", danger: true, onClick: () => act.cancel(job) }]} />`;
    } },
  ];
}

/** The state of a build, and how far it is. */
export function BuildState({ job }) {
  const state = stateOf(job.state);
  const { done, total } = job.progress ?? {};
  return html`<${StateMark} state=${state} />
    ${state === "RUNNING" && html`<${Progress} value=${total ? done / total : null} label=${t("datasets.progress")} />`}`;
}

/** Training and evaluation rows as "1,200 + 80". */
export function rowsOf(job) {
  const rows = job.statistics?.rows;
  if (!rows) return "";
  const sum = (side) => Object.values(rows[side] ?? {}).reduce((all, one) => all + one, 0);
  return `${number(sum("training"))} + ${number(sum("evaluation"))}`;
}

// Buckets.

function Buckets() {
  const list = useGet("/storage/v1/b", { query: { project: project() } });
  const [making, setMaking] = useState(false);
  return html`<${Loaded} of=${list}>${(data) => {
    const found = data.items ?? [];
    const make = html`<${Button} kind=${found.length ? "plain" : "primary"} icon="create" onClick=${() => setMaking(true)}>
      ${t("datasets.bucket.make")}<//>`;
    if (found.length === 0) {
      return html`<${Empty} icon="folder" title=${t("datasets.bucket.none")} text=${t("datasets.bucket.none.text")}>${make}<//>`;
    }
    return html`<div class="tools">${make}</div><${Table} label=${t("datasets.buckets")} rows=${found} keyOf=${(one) => one.name}
      to=${(one) => `/datasets?${new URLSearchParams({ project: project(), tab: "buckets", bucket: one.name })}`}
      columns=${[
        { id: "name", label: t("datasets.bucket"), main: true, width: "minmax(160px, 2fr)", render: (one) => `gs://${one.name}` },
        { id: "created", label: t("datasets.created"), align: "end", width: "minmax(120px, 1fr)",
          render: (one) => html`<${Time} at=${one.timeCreated} />` }]} cardHeight=${84} />`;
  }}<//>
  ${making && html`<${MakeBucket} onClose=${() => setMaking(false)} onMade=${list.reload} />`}`;
}

function MakeBucket({ onClose, onMade }) {
  const [name, setName] = useState("");
  const [error, setError] = useState(null);
  const make = async (event) => {
    event?.preventDefault();
    try {
      await post(`/storage/v1/b?project=${encodeURIComponent(project())}`, { name: name.trim() });
      onMade();
      onClose();
    } catch (wrong) {
      setError(wrong);
    }
  };
  return html`<${Dialog} title=${t("datasets.bucket.make")} onClose=${onClose} actions=${html`
      <${Button} onClick=${onClose}>${t("part.cancel")}<//>
      <${Button} kind="primary" onClick=${make} disabled=${!name.trim()}>${t("datasets.bucket.make")}<//>`}>
    <form onSubmit=${make}><${TextField} label=${t("datasets.bucket.name")} hint=${t("datasets.bucket.hint")} value=${name}
      onInput=${setName} /></form>
    ${error && html`<${Problem} error=${error} />`}
  <//>`;
}

function Objects({ bucket, prefix }) {
  const list = useGet(`/storage/v1/b/${encodeURIComponent(bucket)}/o`, { query: { prefix, delimiter: "/", maxResults: 1000 } });
  const [deleting, setDeleting] = useState(null);
  const [sending, setSending] = useState(null);
  const [more, setMore] = useState({ of: "", items: [], token: null });
  const chooser = useRef(null);
  const send = async (files) => {
    for (const file of files) {
      try {
        await upload(bucket, prefix + file.name, file, (share) => setSending({ name: file.name, share }));
        toast(t("datasets.uploaded", { name: file.name }));
      } catch (error) {
        toast(error.message || t("error.unreachable"), "bad");
      }
    }
    setSending(null);
    list.reload();
  };
  const go = (next) => setQuery({ prefix: next });
  const up = prefix.replace(/[^/]+\/$/, "");
  const drop = (event) => {
    event.preventDefault();
    send([...event.dataTransfer.files]);
  };
  return html`<div class="tools">
      <nav class="crumbs" aria-label=${t("part.crumbs")}>
        <${Button} small kind="quiet" onClick=${() => setQuery({ bucket: "", prefix: "" })}>${t("datasets.buckets")}<//>
        <span>gs://${bucket}/${prefix}</span></nav>
      ${prefix && html`<${Button} small icon="up" onClick=${() => go(up)}>${t("datasets.up")}<//>`}
      <${Button} icon="upload" onClick=${() => chooser.current.click()}>${t("datasets.upload")}<//>
      <input type="file" multiple hidden ref=${chooser} aria-label=${t("datasets.upload")}
        onChange=${(event) => send([...event.target.files])} />
    </div>
    ${sending && html`<p class="muted" role="status">${t("datasets.uploading", { name: sending.name })}</p>
      <${Progress} value=${sending.share} label=${sending.name} />`}
    <div onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <${Loaded} of=${list}>${(data) => {
      const own = more.of === `${bucket}/${prefix}` ? more : { items: [], token: null };
      const rows = [...(data.prefixes ?? []).map((name) => ({ name, isFolder: true })), ...(data.items ?? []), ...own.items];
      const token = own.token ?? data.nextPageToken ?? "";
      const onEnd = async () => {
        if (!token) return;
        const page = await get(`/storage/v1/b/${encodeURIComponent(bucket)}/o`,
          { query: { prefix, delimiter: "/", maxResults: 1000, pageToken: token } });
        setMore({ of: `${bucket}/${prefix}`, items: [...own.items, ...(page.items ?? [])], token: page.nextPageToken ?? "" });
      };
      if (rows.length === 0) return html`<${Empty} icon="file" title=${t("datasets.empty")} text=${t("datasets.empty.text")} />`;
      return html`<${Table} label=${`gs://${bucket}/${prefix}`} rows=${rows} keyOf=${(one) => one.name} onEnd=${onEnd} cardHeight=${104}
        columns=${objectColumns({ bucket, prefix, go, remove: setDeleting })} />`;
    }}<//></div>
    ${deleting && html`<${Confirm} title=${t("datasets.delete.title", { name: deleting.name })} text=${t("datasets.object.delete")}
      action=${t("datasets.delete")} onClose=${() => setDeleting(null)} onYes=${async () => {
        await remove(objectPath(bucket, deleting.name), { raw: true });
        list.reload();
      }} />`}`;
}

const objectPath = (bucket, name) => `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(name)}`;

function objectColumns({ bucket, prefix, go, remove: drop }) {
  const short = (one) => one.name.slice(prefix.length);
  return [
    { id: "name", label: t("datasets.object"), width: "minmax(160px, 3fr)", render: (one) => (one.isFolder
      ? html`<${Button} small kind="quiet" icon="folder" onClick=${() => go(one.name)}>${short(one)}<//>`
      : html`<a href=${`/download${objectPath(bucket, one.name)}?alt=media`} download=${short(one)}>${short(one)}</a>`) },
    { id: "size", label: t("datasets.size"), align: "end", width: "minmax(72px, 0.6fr)", render: (one) => bytes(one.size) },
    { id: "updated", label: t("datasets.updated"), align: "end", width: "minmax(110px, 0.8fr)",
      render: (one) => html`<${Time} at=${one.updated} />` },
    { id: "actions", label: "", align: "end", width: "32px", render: (one) => !one.isFolder && html`<${Menu}
      label=${t("datasets.actions", { name: short(one) })} items=${[
        ...(one.name.endsWith(".jsonl") ? [{ label: t("datasets.tune"), icon: "create",
          to: `/create?${new URLSearchParams({ project: project(), dataset: `gs://${bucket}/${one.name}` })}` }] : []),
        { label: t("datasets.delete"), icon: "trash", danger: true, onClick: () => drop(one) }]} />` },
  ];
}
