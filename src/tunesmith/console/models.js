// The model registry: tuned models, searched, sorted and live; apart from them what there is to tune; and models from outside.
import { html, useCallback, useMemo, useRef, useState } from "./html.js";
import { get, parent, useGet } from "./api.js";
import { compact, nameOf, number, percent } from "./format.js";
import { address, session, setQuery, useValue } from "./state.js";
import { t } from "./texts.js";
import { DeleteModel, DeployModel, ExportModel, UploadModel } from "./model_dialogs.js";
import { Button, Empty, Loaded, Menu, PageHead, Problem, Search, Skeleton, StateMark, Table, Tabs, Time } from "./parts.js";

const LIVE_MS = 5000;
const PAGE_SIZE = 100;

export default function Models({ route }) {
  const { tab = "tuned" } = route.query;
  const [uploading, setUploading] = useState(false);
  const changes = mayChange(useValue(session));
  return html`<${PageHead} title=${t("models.title")} actions=${html`
      ${changes && html`<${Button} icon="upload" onClick=${() => setUploading(true)}>${t("models.upload")}<//>`}
      <${Button} kind="primary" icon="create" to="/create">${t("jobs.create")}<//>`} />
    <${Tabs} label=${t("models.title")} current=${tab} onChange=${(id) => setQuery({ tab: id === "tuned" ? "" : id, q: "" })} tabs=${[
      { id: "tuned", label: t("models.tuned") }, { id: "published", label: t("models.published") }]} />
    ${tab === "published" ? html`<${Published} />` : html`<${Tuned} query=${route.query} changes=${changes} upload=${() => setUploading(true)} />`}
    ${uploading && html`<${UploadModel} onClose=${() => setUploading(false)} />`}`;
}

/** Whether who is signed in may change something, and not only look. */
export const mayChange = (who) => who?.principal?.role !== "viewer";

/** A base model's name as people say it: one that is a folder, by its last part. */
export const baseOf = (name) => (name?.startsWith("/") ? name.split("/").filter(Boolean).pop() : name) ?? "";

/** What a model was tuned on: the reference product's name where it was asked for by that. */
export const referenceOf = (model) => model.tunesmith?.lineage?.base?.reference || baseOf(model.tunesmith?.baseModel);

/** Where a model's page is. */
export function placeOf(model) {
  const { location, id } = nameOf(model.name);
  return `/models/${location}/${id}`;
}

/** The share of answer tokens that a model predicts right, where it was measured. */
export const accuracyOf = ({ tunesmith }) => tunesmith?.metrics?.tuned?.accuracy ?? tunesmith?.metrics?.tuning?.best?.accuracy;

/** Where "tune again with changes" leads; "" for a model that no job made, or whose job is deleted. */
export function cloneOf(model) {
  if (!model.tunesmith?.job) return "";
  const { location, id } = nameOf(model.pipelineJob);
  return address("/create", { from: `${location}/${id}` });
}

function Tuned({ query, changes, upload }) {
  const { q = "", sort = "create_time", way = "desc" } = query;
  const quoted = q.trim().replace(/["\\]/g, "\\$&");
  const list = useModels({
    filter: quoted && `display_name:"*${quoted}*"`, orderBy: `${sort}${way === "desc" ? " desc" : ""}`, pageSize: PAGE_SIZE,
  });
  const [asking, setAsking] = useState(null);
  const columns = useMemo(() => columnsOf(changes, (what, model) => setAsking({ what, model })), [changes]);
  const onSort = (by) => setQuery({ sort: by, way: sort === by && way === "desc" ? "asc" : "desc" });
  const close = () => {
    setAsking(null);
    list.refresh();
  };
  const Dialog = { deploy: DeployModel, export: ExportModel, remove: DeleteModel }[asking?.what];
  const nothing = list.models.length === 0 && !list.loading && !list.error;
  return html`<div class="tools"><${Search} value=${q} onInput=${(text) => setQuery({ q: text })} label=${t("models.search")} /></div>
    ${list.error && html`<${Problem} error=${list.error} retry=${list.refresh} />`}
    ${list.loading && list.models.length === 0 && html`<${Skeleton} lines=${8} />`}
    ${nothing && (q ? html`<${Empty} icon="search" title=${t("models.none.found")} text=${t("models.none.found.text")}>
        <${Button} onClick=${() => setQuery({ q: "" })}>${t("jobs.clear")}<//><//>`
      : html`<${Empty} icon="models" title=${t("models.none")} text=${t("models.none.text")}>
        <${Button} kind="primary" icon="create" to="/create">${t("jobs.create")}<//>
        ${changes && html`<${Button} icon="upload" onClick=${upload}>${t("models.upload")}<//>`}<//>`)}
    ${list.models.length > 0 && html`<${Table} label=${t("models.tuned")} columns=${columns} rows=${list.models} keyOf=${keyOf} to=${placeOf}
      sort=${{ by: sort, falling: way === "desc" }} onSort=${onSort} onEnd=${list.more} cardHeight=${104} />
      <p class="muted under" aria-live="polite">${t(list.complete ? "models.count" : "models.count.more", { count: number(list.models.length) })}</p>`}
    ${Dialog && html`<${Dialog} model=${asking.model} onClose=${close} />`}`;
}

const keyOf = (model) => model.name;

function columnsOf(changes, ask) {
  return [
    { id: "display_name", label: t("models.name"), sortable: true, main: true, width: "minmax(180px, 2.4fr)",
      render: (model) => html`<span class="name">${model.displayName || nameOf(model.name).id}</span>` },
    { id: "base", label: t("models.base"), width: "minmax(120px, 1.3fr)",
      render: (model) => html`<span title=${model.tunesmith?.baseModel}>${referenceOf(model)}</span>` },
    { id: "version", label: t("models.version"), align: "end", hide: true, width: "minmax(64px, 0.5fr)", render: (model) => model.versionId },
    { id: "accuracy", label: t("models.accuracy"), align: "end", width: "minmax(112px, 0.7fr)", render: (model) => percent(accuracyOf(model)) },
    { id: "deployed", label: t("models.deployed"), width: "minmax(110px, 1fr)", render: (model) => html`<${Deployed} model=${model} />` },
    { id: "create_time", label: t("models.created"), sortable: true, align: "end", hide: true, width: "minmax(100px, 0.9fr)",
      render: (model) => html`<${Time} at=${model.createTime} />` },
    { id: "actions", label: "", align: "end", width: "44px", render: (model) => html`<${Menu}
      label=${t("models.actions", { name: model.displayName })} items=${[
        { label: t("models.try"), icon: "try", to: address("/try", { model: model.name }) },
        cloneOf(model) && { label: t("jobs.clone"), icon: "copy", to: cloneOf(model) },
        changes && { label: t("models.deploy"), icon: "play", onClick: () => ask("deploy", model) },
        changes && { label: t("models.export"), icon: "download", onClick: () => ask("export", model) },
        changes && { label: t("models.delete"), icon: "trash", danger: true, onClick: () => ask("remove", model) },
      ].filter(Boolean)} />` },
  ];
}

/** Whether a model is deployed, as shape and word. */
export function Deployed({ model }) {
  const count = (model.deployedModels ?? []).length;
  if (!count) return html`<span class="muted">${t("models.deployed.no")}</span>`;
  return html`<${StateMark} state="DEPLOYED" note=${count > 1 ? number(count) : ""} />`;
}

/** The models so far: the first page is asked for again and again, later ones when they come into sight. */
function useModels(query) {
  const path = `${parent("-")}/models`;
  const first = useGet(path, { query, every: LIVE_MS });
  const key = JSON.stringify([path, query]);
  const [later, setLater] = useState({ key, models: [], token: null });
  const busy = useRef(false);
  const mine = later.key === key ? later : { key, models: [], token: null };
  const token = mine.token ?? first.data?.nextPageToken ?? "";
  const models = useMemo(() => {
    const top = first.data?.models ?? [];
    const seen = new Set(top.map(keyOf));
    return [...top, ...mine.models.filter((model) => !seen.has(model.name))];
  }, [first.data, later, key]);
  const more = useCallback(async () => {
    if (!token || busy.current) return;
    busy.current = true;
    try {
      const page = await get(path, { query: { ...query, pageToken: token } });
      setLater({ key, models: [...mine.models, ...(page.models ?? [])], token: page.nextPageToken ?? "" });
    } catch {
      // The first page is asked for all the time, and says what is wrong.
    } finally {
      busy.current = false;
    }
  }, [token, key, later]);
  return { models, error: first.error, loading: first.loading, refresh: first.reload, more, complete: !token };
}

// What there is to tune.

function Published() {
  const found = useGet("/v1/installation");
  return html`<${Loaded} of=${found} lines=${8}>${(data) => html`
    <p class="muted lead">${t("models.published.text")}</p>
    <${Table} label=${t("models.published")} keyOf=${(one) => one.name} columns=${referenceColumns()}
      rows=${data.referenceModels.filter(({ name }) => name.includes("@"))} cardHeight=${104} />
    <h2 class="later">${t("models.bases")}</h2>
    <p class="muted lead">${t("models.bases.text")}</p>
    <${Table} label=${t("models.bases")} keyOf=${(one) => one.name} columns=${baseColumns()} rows=${data.baseModels} cardHeight=${148} />`}<//>`;
}

const tryOut = (name) => html`<${Menu} label=${t("models.actions", { name })} items=${[
  { label: t("models.try"), icon: "try", to: address("/try", { model: name }) },
  { label: t("jobs.create"), icon: "create", to: address("/create", { base: name }) },
]} />`;

const referenceColumns = () => [
  { id: "name", label: t("models.name"), main: true, width: "minmax(180px, 1.6fr)", render: (one) => one.name },
  { id: "kind", label: t("models.kind"), width: "minmax(110px, 1fr)", render: (one) => t(`models.kind.${one.kind}`) },
  { id: "base", label: t("models.stands"), width: "minmax(150px, 1.6fr)", render: (one) => one.baseModel },
  { id: "context", label: t("models.context"), align: "end", hide: true, width: "minmax(90px, 0.8fr)", render: (one) => number(one.contextTokens) },
  { id: "actions", label: "", align: "end", width: "44px", render: (one) => tryOut(one.name) },
];

const baseColumns = () => [
  { id: "name", label: t("models.name"), main: true, width: "minmax(200px, 1.8fr)", render: (one) => one.name },
  { id: "parameters", label: t("models.parameters"), align: "end", width: "minmax(90px, 0.8fr)",
    render: (one) => compact(one.parameters) },
  { id: "context", label: t("models.context"), align: "end", width: "minmax(90px, 0.8fr)", render: (one) => number(one.contextTokens) },
  { id: "fim", label: t("models.fim"), width: "minmax(100px, 0.9fr)", render: (one) => t(one.fim ? "models.yes" : "models.no") },
  { id: "licence", label: t("models.licence"), hide: true, width: "minmax(100px, 0.9fr)", render: (one) => one.licence },
  { id: "available", label: t("models.available"), width: "minmax(140px, 1.1fr)", render: (one) => (one.available
    ? html`<${StateMark} state="READY" />` : html`<span class="muted" title=${`tunesmith models pull ${one.name}`}>${t("models.absent")}</span>`) },
];
