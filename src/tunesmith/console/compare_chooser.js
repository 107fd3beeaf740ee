// Which jobs to compare: the newest, or those that a search finds, each with a box to tick.
import { html, useState } from "./html.js";
import { parent, useGet } from "./api.js";
import { nameOf, number, percent, stateOf } from "./format.js";
import { t } from "./texts.js";
import { Button, Empty, Loaded, Search, StateMark, Time } from "./parts.js";
import { filterOf } from "./jobs.js";

const SHOWN = 100;

/** chosen [LOCATION/ID], most, onChosen([LOCATION/ID]). */
export function Chooser({ chosen, most, onChosen }) {
  const [picked, setPicked] = useState(chosen);
  const [text, setText] = useState("");
  const list = useGet(`${parent("-")}/pipelineJobs`, {
    query: { filter: filterOf(text, ""), orderBy: "createTime desc", pageSize: SHOWN },
  });
  const full = picked.length >= most;
  const pick = (short, on) => setPicked(on ? [...picked, short] : picked.filter((one) => one !== short));
  return html`<div class="chooser">
    <div class="tools"><${Search} value=${text} onInput=${setText} label=${t("jobs.search")} />
      <span class="muted" aria-live="polite">${t("compare.picked", { count: number(picked.length), most: number(most) })}</span></div>
    <${Loaded} of=${list} lines=${6}>${(data) => {
      const jobs = data.pipelineJobs ?? [];
      if (jobs.length === 0 && !text) {
        return html`<${Empty} icon="compare" title=${t("jobs.none")} text=${t("compare.none.text")}>
          <${Button} kind="primary" icon="create" to="/create">${t("jobs.create")}<//><//>`;
      }
      if (jobs.length === 0) return html`<${Empty} icon="search" title=${t("jobs.none.found")} text=${t("compare.none.found")} />`;
      return html`<ul class="picks">${jobs.map((job) => html`<${Pick} key=${job.name} job=${job} picked=${picked} full=${full} onPick=${pick} />`)}</ul>
        ${data.nextPageToken && html`<p class="muted under">${t("compare.more", { count: number(SHOWN) })}</p>`}`;
    }}<//>
    <div class="actions end"><${Button} kind="primary" icon="compare" disabled=${picked.length === 0} onClick=${() => onChosen(picked)}>
      ${picked.length ? t("compare.show", { count: number(picked.length) }) : t("nav.compare")}<//></div>
  </div>`;
}

function Pick({ job, picked, full, onPick }) {
  const { location, id } = nameOf(job.name);
  const short = `${location}/${id}`;
  const on = picked.includes(short);
  const own = job.tunesmith ?? {};
  return html`<li><label>
    <input type="checkbox" checked=${on} disabled=${full && !on} onChange=${(event) => onPick(short, event.target.checked)} />
    <span class="name">${job.displayName || id}</span>
    <${StateMark} state=${stateOf(job.state)} />
    <span class="muted figures-in">${own.bestAccuracy == null ? "" : percent(own.bestAccuracy)}</span>
    <span class="muted when"><${Time} at=${job.createTime} /></span>
  </label></li>`;
}
