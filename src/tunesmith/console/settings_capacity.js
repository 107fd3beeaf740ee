// The pools and who waits for them, and the processes that serve models.
import { html } from "./html.js";
import { parent, useGet } from "./api.js";
import { nameOf, number } from "./format.js";
import { t } from "./texts.js";
import { Icon } from "./icons.js";
import { Facts, Loaded, Progress, Section, StateMark, Table, Time } from "./parts.js";
import { placeOf } from "./jobs.js";

const LIVE_MS = 3000;

/** A base model's name; of a folder of the server's, its last part. */
export const shortBase = (name) => (name.startsWith("/") ? name.split("/").filter(Boolean).pop() : name);

export function Capacity() {
  const installation = useGet("/v1/installation", { every: LIVE_MS });
  const queue = useGet(`${parent("-")}/pipelineJobs`, {
    query: { filter: 'state="PIPELINE_STATE_QUEUED"', orderBy: "createTime", pageSize: 100 }, every: LIVE_MS,
  });
  return html`<${Loaded} of=${installation} lines=${6}>${(data) => html`
      <${Section} title=${t("settings.pools")}><div class="pools">
        ${data.pools.map((pool) => html`<${Pool} key=${pool.acceleratorType} pool=${pool} />`)}</div><//>
      <${Section} title=${t("settings.queue")}><${Loaded} of=${queue}>${(found) => html`<${Queue} jobs=${found.pipelineJobs ?? []}
        more=${Boolean(found.nextPageToken)} />`}<//><//>
      <${Section} title=${t("settings.servers")}><${Servers} servers=${data.servers} /><//>`}<//>`;
}

function Pool({ pool }) {
  const label = t("settings.pool.use", { used: number(pool.used), all: number(pool.devices) });
  return html`<article class="pool" aria-label=${pool.acceleratorType}>
    <header><h3>${pool.acceleratorType}</h3><span>${label}</span></header>
    <${Progress} value=${pool.devices ? pool.used / pool.devices : 0} label=${`${pool.acceleratorType}: ${label}`} />
    <${Facts} rows=${[[t("settings.pool.running"), number(pool.running)], [t("settings.pool.waiting"), number(pool.waiting)],
      [t("settings.pool.each"), number(pool.jobDevices)], [t("settings.pool.at.once"), number(Math.floor(pool.devices / pool.jobDevices))]]} />
  </article>`;
}

function Queue({ jobs, more }) {
  if (jobs.length === 0) return html`<p class="muted">${t("settings.queue.none")}</p>`;
  const columns = [
    { id: "place", label: t("settings.queue.place"), width: "64px", render: (job) => number(job.tunesmith?.queuePosition) },
    { id: "name", label: t("jobs.name"), main: true, width: "minmax(180px, 3fr)", render: (job) => job.displayName || nameOf(job.name).id },
    { id: "owner", label: t("jobs.owner"), render: (job) => job.tunesmith?.owner },
    { id: "since", label: t("settings.queue.since"), align: "end", render: (job) => html`<${Time} at=${job.createTime} />` },
  ];
  const byPlace = [...jobs].sort((a, b) => (a.tunesmith?.queuePosition ?? 0) - (b.tunesmith?.queuePosition ?? 0));
  return html`<${Table} label=${t("settings.queue")} columns=${columns} rows=${byPlace} keyOf=${(job) => job.name} to=${placeOf} cardHeight=${116} />
    <p class="muted under">${t(more ? "settings.queue.more" : "settings.queue.text")}</p>`;
}

function Servers({ servers }) {
  if (servers.length === 0) return html`<p class="muted">${t("settings.servers.none")}</p>`;
  return html`<ul class="servers">${servers.map((server) => html`<li key=${server.baseModel}>
    <b title=${server.baseModel}>${shortBase(server.baseModel)}</b><${StateMark} state=${server.state} />
    ${server.error && html`<p class="said"><${Icon} name="warning" />${server.error.message ?? String(server.error)}</p>`}</li>`)}</ul>`;
}
