// The wizard's first step: the model's name, what it is tuned from, where; and what is seldom changed, collapsed.
import { html, useState } from "./html.js";
import { parent, post, useGet } from "./api.js";
import { number } from "./format.js";
import { t } from "./texts.js";
import { Button, Field, Radios, Select, SelectField, TextField, useAction } from "./parts.js";
import { BucketDialog } from "./bucket_dialog.js";
import { ADVANCED, KEY_REGION, batchOf, referenceOf, stepsOf } from "./create_draft.js";

const OFFERED = /^code(chat)?-bison(@002|-32k)$/;

/** What every step takes: draft, change(fields), wrong {field: text}, installation, examples (of the data, or null). */
export function Details({ draft, change, wrong, installation }) {
  const [browsing, setBrowsing] = useState(false);
  const set = (field) => (value) => change({ [field]: value });
  const reference = referenceOf(draft, installation);
  return html`
    <${TextField} label=${t("create.name")} hint=${t("create.name.hint")} value=${draft.name} onInput=${set("name")} error=${wrong.name}
      required maxlength="128" autocomplete="off" />
    <${Base} draft=${draft} change=${change} error=${wrong.base} installation=${installation} />
    ${!reference && html`<${Radios} label=${t("create.kind")} value=${draft.kind} onChange=${set("kind")} options=${[
      { value: "generation", label: t("create.kind.generation"), hint: t("create.kind.generation.hint") },
      { value: "chat", label: t("create.kind.chat"), hint: t("create.kind.chat.hint") }]} />`}
    <${SelectField} label=${t("create.region")} hint=${t("create.region.hint")} value=${draft.location} error=${wrong.location}
      onChange=${(location) => change({ location, tensorboard: "" })}
      options=${installation.regions.map((name) => ({ value: name, label: name }))} />
    <${Field} label=${t("create.output")} hint=${t("create.output.hint")} error=${wrong.output} optional>
      ${(carry) => html`<span class="beside"><input type="text" value=${draft.output} spellcheck=${false} placeholder="gs://bucket/folder"
        onInput=${(event) => change({ output: event.target.value })} ...${carry} />
        <${Button} icon="folder" onClick=${() => setBrowsing(true)}>${t("bucket.browse")}<//></span>`}
    <//>
    <${Advanced} draft=${draft} change=${change} wrong=${wrong} installation=${installation} />
    ${browsing && html`<${BucketDialog} folders title=${t("create.output.choose")} start=${draft.output && `${draft.output}/`}
      onChoose=${set("output")} onClose=${() => setBrowsing(false)} />`}`;
}

function Base({ draft, change, error, installation }) {
  const references = installation.referenceModels.filter(({ name }) => OFFERED.test(name) || name === draft.base);
  const known = new Set([...references, ...installation.baseModels].map(({ name }) => name));
  const group = (kind) => references.filter((model) => model.kind === kind);
  return html`<${Field} label=${t("create.base")} hint=${t("create.base.hint")} error=${error}>
    ${(carry) => html`<select value=${draft.base} onChange=${(event) => change({ base: event.target.value })} ...${carry}>
      ${["generation", "chat"].map((kind) => html`<optgroup key=${kind} label=${t(`create.kind.${kind}`)}>
        ${group(kind).map(({ name, baseModel }) => html`<option key=${name} value=${name} selected=${name === draft.base}>
          ${name} · ${baseModel}</option>`)}</optgroup>`)}
      <optgroup label=${t("create.base.open")}>
        ${!known.has(draft.base) && html`<option value=${draft.base} selected>${draft.base}</option>`}
        ${installation.baseModels.map(({ name, parameters, licence, available }) => html`<option key=${name} value=${name}
          selected=${name === draft.base} disabled=${!available}>${name} · ${size(parameters)} · ${licence}
          ${available ? "" : ` · ${t("create.base.absent")}`}</option>`)}</optgroup>
    </select>`}<//>`;
}

/** Weights, in millions or billions as models are called. */
const size = (parameters) => (parameters >= 1e9 ? `${number(parameters / 1e9, 1)}B` : `${number(parameters / 1e6)}M`);

function Advanced({ draft, change, wrong, installation }) {
  const set = (field) => (value) => change({ [field]: value });
  const hasWrong = Object.keys(wrong).some((field) => ADVANCED.has(field));
  const { recommended } = installation;
  const longest = [{ value: "", label: t("create.context.own") }, { value: "8k", label: "8k" }, { value: "32k", label: "32k" }];
  return html`<details class="advanced" open=${draft.advanced || hasWrong} onToggle=${(event) => {
      if (event.target.open !== draft.advanced) change({ advanced: event.target.open });
    }}>
    <summary>${t("create.advanced")} <span class="muted">${t("create.advanced.note", { steps: draft.steps, multiplier: draft.multiplier,
      accelerator: draft.accelerator })}</span></summary>
    <div class="step-fields">
      <${Field} label=${t("create.steps")} error=${wrong.steps} hint=${t("create.steps.hint", {
          fewest: number(recommended.fewestSteps), most: number(recommended.mostSteps), examples: number(recommended.examples) })}>
        ${(carry) => html`<span class="beside"><input type="text" inputmode="numeric" value=${draft.steps}
          onInput=${(event) => change({ steps: event.target.value })} ...${carry} />
          <${Button} onClick=${() => change({ steps: recommended.sweep.join(", ") })}>
            ${t("create.sweep", { steps: recommended.sweep.join(", ") })}<//></span>`}
      <//>
      <${Batches} draft=${draft} installation=${installation} />
      <${TextField} label=${t("create.multiplier")} hint=${t("create.multiplier.hint")} error=${wrong.multiplier} inputmode="decimal"
        value=${draft.multiplier} onInput=${set("multiplier")} />
      <${Radios} label=${t("create.accelerator")} value=${draft.accelerator} onChange=${set("accelerator")}
        options=${installation.pools.map((pool) => poolOption(pool, draft, installation))} />
      <${SelectField} label=${t("create.context")} hint=${t("create.context.hint")} error=${wrong.context} value=${draft.context}
        onChange=${set("context")} options=${longest} />
      <${TensorBoard} draft=${draft} change=${change} error=${wrong.tensorboard} />
      <${Encryption} draft=${draft} change=${change} error=${wrong.key} />
      <${TextField} optional label=${t("create.account")} hint=${t("create.account.hint")} error=${wrong.serviceAccount} autocomplete="off"
        value=${draft.serviceAccount} onInput=${set("serviceAccount")} placeholder="name@project.iam.gserviceaccount.com" />
    </div>
  </details>`;
}

function poolOption({ acceleratorType, devices, jobDevices, used, waiting }, draft, installation) {
  const batch = batchOf({ ...draft, accelerator: acceleratorType }, installation);
  const free = Math.max(0, devices - used);
  const hint = devices < jobDevices
    ? t("create.pool.small", { devices: number(devices), needed: number(jobDevices) })
    : t("create.pool", { batch: number(batch), needed: number(jobDevices), free: number(free), devices: number(devices), waiting: number(waiting) });
  return { value: acceleratorType, label: acceleratorType, hint, disabled: devices < jobDevices };
}

/** How many examples a step takes, and the product's own two sums. */
function Batches({ draft, installation }) {
  const table = installation.batchSizes;
  const contexts = [...new Set(table.map(({ maxContextLength }) => maxContextLength))];
  const accelerators = [...new Set(table.map(({ acceleratorType }) => acceleratorType))];
  const sizeOf = (accelerator, context) => table.find((one) => one.acceleratorType === accelerator && one.maxContextLength === context)?.batchSize;
  const [steps] = stepsOf(draft);
  return html`<details class="batches"><summary>${t("create.batches", { batch: number(batchOf(draft, installation)) })}</summary>
    <table><thead><tr><th scope="col">${t("create.context")}</th>
      ${accelerators.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
      <tbody>${contexts.map((context) => html`<tr key=${context}><th scope="row">${context}</th>
        ${accelerators.map((name) => html`<td key=${name}>${number(sizeOf(name, context))}</td>`)}</tr>`)}</tbody></table>
    <p class="hint">${t("create.batches.how")}</p>
    <ul class="hint"><li>${t("create.batches.one")}</li><li>${t("create.batches.two")}</li>
      ${steps && html`<li>${t("create.batches.own", { steps: number(steps), batch: number(batchOf(draft, installation)),
        seen: number(steps * batchOf(draft, installation)) })}</li>`}</ul>
  </details>`;
}

/** The TensorBoard that gets the job's curves; one can be made on the spot. */
export function TensorBoard({ draft, change, error }) {
  const list = useGet(`${parent(draft.location)}/tensorboards`, { query: { pageSize: 100 } });
  const [run, busy] = useAction();
  const boards = list.data?.tensorboards ?? [];
  const lost = draft.tensorboard && list.data && !boards.some(({ name }) => name === draft.tensorboard);
  const options = [{ value: "", label: t("create.board.none") },
    ...boards.map(({ name, displayName }) => ({ value: name, label: displayName || name.split("/").pop() })),
    ...(lost ? [{ value: draft.tensorboard, label: draft.tensorboard }] : [])];
  const make = () => run(async () => {
    const made = await post(`${parent(draft.location)}/tensorboards`, { displayName: draft.name.trim() || "tuning" });
    change({ tensorboard: made.response?.name ?? "" });
    list.reload();
  }, t("create.board.made"));
  return html`<${Field} label=${t("create.board")} hint=${t("create.board.hint")} error=${error} optional>
    ${(carry) => html`<span class="beside"><${Select} value=${draft.tensorboard} options=${options}
        onChange=${(tensorboard) => change({ tensorboard })} ...${carry} />
      <${Button} icon="create" busy=${busy} onClick=${make}>${t("create.board.make")}<//></span>`}
  <//>`;
}

function Encryption({ draft, change, error }) {
  return html`<${Radios} label=${t("create.key")} value=${draft.encrypted ? "own" : "default"}
      onChange=${(value) => change({ encrypted: value === "own" })} options=${[
        { value: "default", label: t("create.key.default"), hint: t("create.key.default.hint") },
        { value: "own", label: t("create.key.own"), hint: t("create.key.own.hint", { region: KEY_REGION }) }]} />
    ${draft.encrypted && html`<${TextField} label=${t("create.key.name")} error=${error} value=${draft.key} autocomplete="off"
      onInput=${(key) => change({ key })} placeholder="projects/P/locations/us-central1/keyRings/R/cryptoKeys/K" />`}`;
}
