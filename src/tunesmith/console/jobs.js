// The tuning jobs of a project: all regions, newest first unless one chooses otherwise; what runs moves by itself.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { get, parent, post, remove, useGet } from "./api.js";
import { number, percent, nameOf, stateOf } from "./format.js";
import { address, setQuery } from "./state.js";
import { t } from "./texts.js";
import {
  Button, Confirm, Empty, Lasting, Menu, PageHead, Problem, Progress, Search, Select, Skeleton, StateMark, Table, Time, useAction,
} from "./parts.js";

const PAGE_SIZE = 100;
const LIVE_MS = 2500;
export const MOST_COMPARED = 8;
const STATES = ["QUEUED", "PENDING", "RUNNING", "PAUSED", "SUCCEEDED", "FAILED", "CANCELLING", "CANCELLED"];
export const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);

export default function Jobs({ route }) {
  const { q = "", state = "", sort = "createTime", way = "desc" } = route.query;
  const query = { filter: filterOf(q, state), orderBy: `${sort}${way === "desc" ? " desc" : ""}`, pageSize: PAGE_SIZE };
  const list = useJobs(query);
  const [selected, setSelected] = useState(new Set());
  const [deleting, setDeleting] = useState(null);
  const [run] = useAction();
  const act = useMemo(() => ({
    cancel: (job) => run(() => post(`/v1/${job.name}:cancel`, {}).then(list.refresh), t("jobs.cancelling")),
    remove: setDeleting,
  }), [list.refresh]);
  const columns = useMemo(() => columnsOf(act), [act]);
  const onSort = (by) => setQuery({ sort: by, way: sort === by && way === "desc" ? "asc" : "desc" });
  const select = (key, on) => setSelected((before) => {
    const next = new Set(before);
    if (on) next.add(key);
    else next.delete(key);
    return next;
  });
  const nothing = list.jobs.length === 0 && !list.loading && !list.error;
  return html`<${PageHead} title=${t("jobs.title")} actions=${html`
      ${selected.size > 1 && html`<${Button} icon="compare" to=${address("/compare", { jobs: [...selected].map(short).join(",") })}
        disabled=${selected.size > MOST_COMPARED}>${t("jobs.compare", { count: selected.size })}<//>`}
      <${Button} kind="primary" icon="create" to="/create">${t("jobs.create")}<//>`} />
    <div class="tools">
      <${Search} value=${q} onInput=${(text) => setQuery({ q: text })} label=${t("jobs.search")} />
      <${Select} value=${state} onChange=${(value) => setQuery({ state: value })} aria-label=${t("jobs.state")}
        options=${[{ value: "", label: t("jobs.all") }, ...STATES.map((name) => ({ value: name, label: t(`state.${name}`) }))]} />
    </div>
    ${list.error && html`<${Problem} error=${list.error} retry=${list.refresh} />`}
    ${list.loading && list.jobs.length === 0 && html`<${Skeleton} lines=${8} />`}
    ${nothing && (q || state ? html`<${Empty} icon="search" title=${t("jobs.none.found")} text=${t("jobs.none.found.text")}>
        <${Button} onClick=${() => setQuery({ q: "", state: "" })}>${t("jobs.clear")}<//><//>`
      : html`<${Empty} icon="jobs" title=${t("jobs.none")} text=${t("jobs.none.text")}>
        <${Button} kind="primary" icon="create" to="/create">${t("jobs.create")}<//><//>`)}
    ${list.jobs.length > 0 && html`<${Table} label=${t("jobs.title")} columns=${columns} rows=${list.jobs} keyOf=${keyOf} to=${placeOf}
      sort=${{ by: sort, falling: way === "desc" }} onSort=${onSort} selected=${selected} onSelect=${select}
      onEnd=${list.more} changed=${list.changed} cardHeight=${172} />
      <p class="muted under" aria-live="polite">${list.complete ? t("jobs.count", { count: number(list.jobs.length) })
        : t("jobs.count.more", { count: number(list.jobs.length) })}</p>`}
    ${deleting && html`<${Confirm} title=${t("jobs.delete.title", { name: deleting.displayName })} text=${t("jobs.delete.text")}
      action=${t("jobs.delete")} onClose=${() => setDeleting(null)} onYes=${async () => {
        await remove(`/v1/${deleting.name}`);
        select(deleting.name, false);
        list.refresh();
      }} />`}`;
}

const keyOf = (job) => job.name;

/** Where a job's page is. */
export function placeOf(job) {
  const { location, id } = nameOf(job.name);
  return `/jobs/${location}/${id}`;
}

const short = (name) => {
  const { location, id } = nameOf(name);
  return `${location}/${id}`;
};

/** The API's filter for jobs whose name has that text in it, in that state; either may be empty. */
export function filterOf(text, state) {
  const quoted = text.trim().replace(/["\\]/g, "\\$&");
  return [quoted && `display_name:"*${quoted}*"`, state && `state="PIPELINE_STATE_${state}"`].filter(Boolean).join(" AND ");
}

function columnsOf(act) {
  return [
    { id: "displayName", label: t("jobs.name"), sortable: true, main: true, width: "minmax(140px, 2.6fr)",
      render: (job) => html`<span class="name">${job.displayName || nameOf(job.name).id}</span>` },
    { id: "state", label: t("jobs.state"), sortable: true, width: "minmax(112px, 1.1fr)",
      render: (job) => html`<${State} job=${job} />` },
    { id: "base", label: t("jobs.base"), hide: true, width: "minmax(110px, 1.1fr)",
      render: (job) => html`<span title=${job.tunesmith?.baseModel}>${job.tunesmith?.reference || job.tunesmith?.baseModel}</span>` },
    { id: "steps", label: t("jobs.steps"), align: "end", width: "minmax(64px, 0.6fr)",
      render: (job) => stepsOf(job) },
    { id: "accuracy", label: t("jobs.accuracy"), align: "end", width: "minmax(72px, 0.6fr)",
      render: (job) => percent(job.tunesmith?.bestAccuracy) },
    { id: "owner", label: t("jobs.owner"), hide: true, width: "minmax(56px, 0.7fr)", render: (job) => job.tunesmith?.owner },
    { id: "createTime", label: t("jobs.created"), sortable: true, align: "end", width: "minmax(92px, 0.8fr)",
      render: (job) => html`<${Time} at=${job.createTime} />` },
    { id: "lasting", label: t("jobs.lasting"), align: "end", width: "minmax(72px, 0.6fr)",
      render: (job) => html`<${Lasting} from=${job.startTime} to=${job.endTime} />` },
    { id: "actions", label: "", align: "end", width: "32px", render: (job) => html`<${Actions} job=${job} act=${act} />` },
  ];
}

function State({ job }) {
  const own = job.tunesmith ?? {};
  const state = stateOf(job.state);
  const waits = own.queuePosition ? t("jobs.waits", { place: number(own.queuePosition) }) : "";
  return html`<${StateMark} state=${state} note=${waits} />
    ${state === "RUNNING" && own.steps > 0 && html`<${Progress} value=${(own.step ?? 0) / own.steps} label=${t("jobs.progress")} />`}`;
}

function stepsOf(job) {
  const { step, steps } = job.tunesmith ?? {};
  if (!steps) return "";
  return step == null || step === steps ? number(steps) : `${number(step)} / ${number(steps)}`;
}

function Actions({ job, act }) {
  const ended = ENDED.has(stateOf(job.state));
  const items = [
    { label: t("jobs.clone"), icon: "copy", to: address("/create", { from: short(job.name) }) },
    ended
      ? { label: t("jobs.delete"), icon: "trash", danger: true, onClick: () => act.remove(job) }
      : { label: t("jobs.cancel"), icon: "stop", danger: true, onClick: () => act.cancel(job), disabled: stateOf(job.state) === "CANCELLING" },
  ];
  return html`<${Menu} label=${t("jobs.actions", { name: job.displayName })} items=${items} />`;
}

/** The jobs so far: the first page is asked for again and again, later ones when they come into sight. */
function useJobs(query) {
  const path = `${parent("-")}/pipelineJobs`;
  const first = useGet(path, { query, every: LIVE_MS });
  const key = JSON.stringify([path, query]);
  const [later, setLater] = useState({ key, jobs: [], token: null });
  const [changed, setChanged] = useState(new Set());
  const before = useRef(new Map());
  const busy = useRef(false);
  const mine = later.key === key ? later : { key, jobs: [], token: null };
  const token = mine.token ?? first.data?.nextPageToken ?? "";

  const jobs = useMemo(() => {
    const top = first.data?.pipelineJobs ?? [];
    const seen = new Set(top.map(keyOf));
    return [...top, ...mine.jobs.filter((job) => !seen.has(job.name))];
  }, [first.data, later, key]);

  useEffect(() => {
    const states = new Map(jobs.map((job) => [job.name, job.state]));
    const moved = [...states].filter(([name, state]) => before.current.has(name) && before.current.get(name) !== state);
    before.current = states;
    if (moved.length === 0) return undefined;
    setChanged(new Set(moved.map(([name]) => name)));
    const timer = setTimeout(() => setChanged(new Set()), 2000);
    return () => clearTimeout(timer);
  }, [jobs]);

  const more = useCallback(async () => {
    if (!token || busy.current) return;
    busy.current = true;
    try {
      const page = await get(path, { query: { ...query, pageToken: token } });
      setLater({ key, jobs: [...mine.jobs, ...(page.pipelineJobs ?? [])], token: page.nextPageToken ?? "" });
    } catch {
      // The first page is asked for all the time, and says what is wrong.
    } finally {
      busy.current = false;
    }
  }, [token, key, later]);

  return { jobs, error: first.error, loading: first.loading, refresh: first.reload, more, complete: !token, changed };
}
