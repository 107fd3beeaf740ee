// One model: how it measured, where it is deployed, what it was made of, its versions, and its card.
import { html, useEffect, useState } from "./html.js";
import { parent, useGet } from "./api.js";
import { figure, moment, nameOf, number, percent } from "./format.js";
import { address, go, session, setQuery, useValue } from "./state.js";
import { t } from "./texts.js";
import { DeleteModel, DeployModel, EditAliases, EditModel, EditTraffic, ExportModel, UndeployModel, UploadModel } from "./model_dialogs.js";
import { accuracyOf, baseOf, cloneOf, Deployed, mayChange, referenceOf } from "./models.js";
import { Markdown } from "./markdown.js";
import {
  Button, Copy, Empty, Facts, Figures, IconButton, Link, Loaded, Menu, PageHead, Problem, Section, Select, Skeleton, StateMark, Time,
} from "./parts.js";

const LIVE_MS = 5000;
const DIALOGS = {
  deploy: DeployModel, edit: EditModel, aliases: EditAliases, traffic: EditTraffic, undeploy: UndeployModel, export: ExportModel,
  remove: DeleteModel, version: UploadModel,
};

export default function ModelPage({ route }) {
  const [, location, id] = route.parts;
  const wanted = route.query.version ?? "";
  const name = `${parent(location)}/models/${encodeURIComponent(id)}`;
  const versions = useGet(`${name}:listVersions`, { every: LIVE_MS });
  const [asking, setAsking] = useState(null);
  if (!versions.data) {
    if (!versions.error) return html`<${Skeleton} lines=${8} />`;
    const crumbs = [{ label: t("models.title"), to: "/models" }];
    if (versions.error.http !== 404) {
      return html`<${PageHead} title=${t("models.one")} crumbs=${crumbs} /><${Problem} error=${versions.error} retry=${versions.reload} />`;
    }
    return html`<${PageHead} title=${t("models.gone")} crumbs=${crumbs} />
      <${Empty} icon="models" title=${t("models.gone")} text=${t("models.gone.text")}><${Button} kind="primary" to="/models">${t("models.title")}<//><//>`;
  }
  const every = versions.data.models;
  const model = every.find((one) => one.versionId === wanted || (one.versionAliases ?? []).includes(wanted || "default")) ?? every[0];
  const ask = (what, more = {}) => setAsking({ what, model, ...more });
  const close = () => {
    setAsking(null);
    versions.reload();
  };
  const Asked = DIALOGS[asking?.what];
  return html`<${Shown} model=${model} every=${every} location=${location} id=${id} ask=${ask} error=${versions.error} reload=${versions.reload}
      turn=${asking} />
    ${Asked && html`<${Asked} ...${asking} parentModel=${asking.what === "version" ? model : undefined} onClose=${close} />`}`;
}

function Shown({ model, every, location, id, ask, error, reload, turn }) {
  const changes = mayChange(useValue(session));
  const version = every.length > 1 ? html`<label class="inline"><span>${t("models.version")}</span><${Select} value=${model.versionId}
    onChange=${(value) => setQuery({ version: value })} options=${every.map((one) => ({
      value: one.versionId, label: [one.versionId, ...aliasesOf(one)].join(" \u00b7 ") }))} /></label>`
    : html`<span>${t("models.version")} ${model.versionId}</span>`;
  const items = [
    { label: t("models.edit"), icon: "settings", onClick: () => ask("edit") },
    { label: t("models.export"), icon: "download", onClick: () => ask("export") },
    { label: t("models.upload.version"), icon: "upload", onClick: () => ask("version") },
    every.length > 1 && { label: t("models.delete.this"), icon: "trash", danger: true, onClick: () => ask("remove", {
      version: true, onDone: () => setQuery({ version: "" }) }) },
    { label: t("models.delete"), icon: "trash", danger: true, onClick: () => ask("remove", {
      model: { ...model, deployedModels: every.flatMap((one) => one.deployedModels ?? []) }, onDone: () => go("/models") }) },
  ].filter(Boolean);
  return html`<${PageHead} title=${model.displayName || id} crumbs=${[{ label: t("models.title"), to: "/models" }]}
      note=${html`${version}<span title=${model.tunesmith?.baseModel}>${referenceOf(model)}</span><span>${location}</span><${Deployed} model=${model} />`}
      actions=${html`<${Button} kind="primary" icon="try" to=${address("/try", { model: model.name })}>${t("models.try")}<//>
        ${changes && html`<${Button} icon="play" onClick=${() => ask("deploy")}>${t("models.deploy")}<//>`}
        ${cloneOf(model) && html`<${Button} icon="copy" to=${cloneOf(model)}>${t("jobs.clone")}<//>`}
        ${changes && html`<${Menu} label=${t("models.actions", { name: model.displayName })} items=${items} />`}`} />
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${model.description && html`<p class="lead described">${model.description}</p>`}
    <${Measured} model=${model} />
    <${Deployment} location=${location} id=${id} model=${model} changes=${changes} ask=${ask} turn=${turn} />
    <${Lineage} model=${model} />
    <${Versions} every=${every} current=${model} changes=${changes} ask=${ask} />
    <${Card} model=${model} />
    <${Details} model=${model} />`;
}

// How it measured.

function Measured({ model }) {
  const said = model.tunesmith?.metrics ?? {};
  const { base, tuned, forgetting, kinds = {} } = said;
  const best = said.tuning?.best;
  if (!tuned && !best) {
    return html`<${Section} title=${t("models.measured")}><p class="muted">${t("models.measured.not")}</p><//>`;
  }
  const rows = [
    base && tuned && { name: t("models.held"), base, tuned },
    ...Object.entries(kinds).map(([kind, one]) => ({ name: t(`models.rows.${kind}`), ...one })),
  ].filter(Boolean);
  const change = (tuned ?? best)?.loss != null && base ? tuned.loss - base.loss : null;
  return html`<${Section} title=${t("models.measured")}>
    <${Figures} items=${[
      { label: t("models.accuracy"), value: percent(accuracyOf(model)), note: base && t("models.before", { value: percent(base.accuracy) }) },
      { label: t("models.loss"), value: figure((tuned ?? best).loss), note: change != null && t("models.before", { value: figure(base.loss) }) },
      { label: t("models.forgotten"), value: forgetting && signed(forgetting.change), note: forgetting && t("models.forgotten.text") },
      { label: t("jobs.steps"), value: number(said.selected_step ?? said.steps), note: said.steps != null && t("models.steps.of", { steps: number(said.steps) }) },
    ]} />
    ${rows.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${t("models.measured")}><table class="grid">
      <thead><tr><th scope="col">${t("models.rows")}</th><th scope="col">${t("models.base.word")}</th><th scope="col">${t("models.this")}</th>
        <th scope="col" class="end">${t("models.loss")}</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.name}><th scope="row">${row.name}${row.rows && html` <span class="muted">${number(row.rows)}</span>`}</th>
        <td><${Bar} share=${row.base.accuracy} tone="base" /></td><td><${Bar} share=${row.tuned.accuracy} tone="tuned" /></td>
        <td class="end">${figure(row.base.loss)} \u2192 ${figure(row.tuned.loss)}</td></tr>`)}</tbody></table></div>`}
  <//>`;
}

const signed = (value) => `${value > 0 ? "+" : value < 0 ? "\u2212" : ""}${figure(Math.abs(value))}`;

function Bar({ share, tone, digits = 1 }) {
  return html`<span class=${`bar-of ${tone}`}><span style=${{ width: `${Math.max(0, Math.min(1, share ?? 0)) * 100}%` }}></span></span>
    <span>${percent(share, digits)}</span>`;
}

// Where it is deployed.

function Deployment({ location, id, model, changes, ask, turn }) {
  const found = useGet(`${parent(location)}/endpoints`, { query: { pageSize: 1000 }, every: LIVE_MS });
  useEffect(() => found.reload(), [turn]);
  const installation = useGet("/v1/installation", { every: LIVE_MS * 2 });
  const server = (installation.data?.servers ?? []).find((one) => one.baseModel === model.tunesmith?.baseModel);
  const places = (found.data?.endpoints ?? []).filter((one) => (one.deployedModels ?? []).some((other) => nameOf(other.model).id === id));
  return html`<${Section} title=${t("models.deployment")}>
    <${Loaded} of=${found} lines=${2}>${() => (places.length === 0 ? html`<p class="muted">${t("models.deployment.none")}</p>`
      : html`${server && html`<p class="served"><${StateMark} state=${server.state.toUpperCase()} /> <span class="muted">${server.error || t("models.served")}</span></p>`}
      ${places.map((endpoint) => html`<${Endpoint} key=${endpoint.name} endpoint=${endpoint} id=${id} changes=${changes} ask=${ask} />`)}`)}<//>
  <//>`;
}

function Endpoint({ endpoint, id, changes, ask }) {
  return html`<article class="endpoint"><header><h3>${endpoint.displayName || nameOf(endpoint.name).id}</h3>
      <code class="muted">${nameOf(endpoint.name).id}</code><${Copy} text=${endpoint.name} label=${t("models.copy.name")} />
      ${changes && endpoint.deployedModels.length > 1 && html`<${Button} small onClick=${() => ask("traffic", { endpoint })}>${t("models.traffic")}<//>`}</header>
    <ul>${endpoint.deployedModels.map((one) => {
      const { id: other, location } = nameOf(one.model);
      const name = one.displayName || other;
      const share = (endpoint.trafficSplit?.[one.id] ?? 0) / 100;
      return html`<li key=${one.id}><span class="name">${other === id ? html`<strong>${name}</strong>` : html`<${Link} to=${`/models/${location}/${other}`}>${name}<//>`}${" "}
          <span class="muted">${t("models.version")} ${one.modelVersionId}</span></span>
        <span class="share"><${Bar} share=${share} tone="tuned" digits=${0} /></span><${Time} at=${one.createTime} />
        ${changes && html`<${IconButton} icon="close" label=${t("models.undeploy.this", { name })} onClick=${() => ask("undeploy", { endpoint, deployed: one })} />`}</li>`;
    })}</ul></article>`;
}

// What it was made of.

function Lineage({ model }) {
  const made = model.tunesmith?.lineage ?? {};
  const { data = {}, base = {}, source, plan, tuning = {}, times = {}, versions = {} } = made;
  const spec = plan?.spec;
  const from = data.built_from?.repository ? data.built_from : null;
  const job = nameOf(model.pipelineJob);
  const outside = source?.artifact_uri;
  const libraries = Object.entries(versions.tune ?? {}).map(([name, version]) => `${name} ${version}`).join(", ");
  return html`<${Section} title=${t("models.lineage")}><ol class="lineage">
    <li><h3>${t(outside ? "models.lineage.files" : "models.lineage.data")}</h3>
      ${outside ? html`<p class="anywhere"><code>${outside}</code></p><p class="muted">${t("models.lineage.outside")}</p>`
        : html`<p class="anywhere"><code>${spec?.dataset}</code></p>
          <p class="muted">${data.examples != null && t("models.lineage.examples", { count: number(data.examples), tokens: number(data.tokens) })}</p>
          ${from && html`<p class="anywhere">${from.repository} <code>${(from.revision ?? "").slice(0, 12)}</code></p>`}
          <${Hash} value=${data.sha256?.training} />`}</li>
    <li><h3>${t("models.lineage.base")}</h3><p>${baseOf(base.name ?? model.tunesmith?.baseModel)}</p>
      <p class="muted">${[base.reference, t("models.licensed", { licence: base.licence && base.licence !== "unknown" ? base.licence : t("models.unknown") })].filter(Boolean).join(" \u00b7 ")}</p>
      <${Hash} value=${base.sha256} /></li>
    <li><h3>${t("models.lineage.job")}</h3>
      ${model.tunesmith?.job ? html`<p><${Link} to=${`/jobs/${job.location}/${job.id}`}>${job.id}<//></p>`
        : html`<p class="muted">${t(outside ? "models.lineage.nojob" : "models.lineage.deleted")}</p>`}
      ${tuning.method && html`<p class="muted">${[t(`models.method.${tuning.method}`), tuning.device, tuning.dtype].filter(Boolean).join(" \u00b7 ")}</p>`}
      ${made.code_version && html`<p class="muted" title=${libraries}>Tunesmith ${made.code_version}</p>`}</li>
    <li class="itself"><h3>${t("models.lineage.model")}</h3><p>${model.displayName}</p>
      <p class="muted">${t("models.version")} ${model.versionId}${times.registered ? ` \u00b7 ${moment(times.registered)}` : ""}</p></li>
  </ol><//>`;
}

function Hash({ value }) {
  return value ? html`<p class="muted hash" title=${value}>SHA-256 <code>${value.slice(0, 12)}</code></p>` : null;
}

// Versions, card, details.

function Versions({ every, current, changes, ask }) {
  return html`<${Section} title=${t("models.versions")}><div class="scroll" tabindex="0" role="region" aria-label=${t("models.versions")}>
    <table class="grid"><thead><tr><th scope="col">${t("models.version")}</th><th scope="col">${t("models.aliases")}</th>
      <th scope="col" class="end">${t("models.accuracy")}</th><th scope="col">${t("models.deployed")}</th><th scope="col">${t("models.created")}</th>
      ${changes && html`<th scope="col"><span class="hidden">${t("models.aliases.edit")}</span></th>`}</tr></thead>
    <tbody>${every.map((one) => html`<tr key=${one.versionId} aria-current=${one === current ? "true" : undefined}>
      <th scope="row">${one === current ? one.versionId : html`<${Link} to=${address(window.location.pathname, { version: one.versionId })}>${one.versionId}<//>`}</th>
      <td>${aliasesOf(one).map((alias) => html`<span class="tag" key=${alias}>${alias}</span> `)}</td>
      <td class="end">${percent(accuracyOf(one))}</td><td><${Deployed} model=${one} /></td><td><${Time} at=${one.versionCreateTime} /></td>
      ${changes && html`<td class="end"><${Button} small kind="quiet" aria-label=${`${t("models.aliases.edit")}, ${t("models.version")} ${one.versionId}`}
        onClick=${() => ask("aliases", { model: one })}>${t("models.aliases.edit")}<//></td>`}</tr>`)}</tbody></table></div><//>`;
}

/** The default first, then by name. */
const aliasesOf = (model) => [...(model.versionAliases ?? [])].sort((a, b) => (b === "default") - (a === "default") || (a < b ? -1 : 1));

function Card({ model }) {
  const found = useGet(`/v1/${model.name}@${model.versionId}:card`);
  return html`<${Section} title=${t("models.card")} actions=${found.data && html`<${Copy} text=${found.data.markdown} />`}>
    ${found.error?.http === 404 ? html`<p class="muted">${found.error.message}</p>`
      : html`<${Loaded} of=${found} lines=${6}>${({ markdown }) => html`<article class="card-of"><${Markdown} text=${markdown} below=${3} /></article>`}<//>`}<//>`;
}

function Details({ model }) {
  const labels = Object.entries(model.labels ?? {});
  return html`<${Section} title=${t("models.details")}><${Facts} rows=${[
    [t("models.resource"), html`<code class="anywhere">${model.name}</code> <${Copy} text=${model.name} />`],
    [t("models.created"), moment(model.createTime)],
    [t("models.updated"), moment(model.updateTime)],
    [t("models.format"), (model.supportedExportFormats ?? []).map(({ id }) => id).join(", ")],
    [t("models.labels"), labels.length ? labels.map(([key, value]) => html`<span class="tag" key=${key}>${key}=${value}</span> `) : ""],
  ]} /><//>`;
}
