// What can be done with a model, each as a dialog that asks what it needs to know, and shows what the server refuses.
import { html, useState } from "./html.js";
import { parent, patch, post, remove, useGet } from "./api.js";
import { nameOf, number } from "./format.js";
import { project } from "./state.js";
import { t } from "./texts.js";
import { Button, Copy, Dialog, Note, Problem, SelectField, Skeleton, TextArea, TextField, toast } from "./parts.js";

const BASE_LABEL = "google-vertex-llm-tuning-base-model-id";

/** A model's name with the version that is meant. */
export const versionOf = (model) => `${model.name}@${model.versionId}`;

/** A dialog that sends something: title, action, onClose, send (async; a result other than undefined stays open). */
function Form({ title, action, onClose, send, done, ready = true, danger = false, children, result }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    setError(null);
    try {
      const stays = await send();
      setBusy(false);
      if (stays) return;
      if (done) toast(done);
      onClose();
    } catch (wrong) {
      setError(wrong);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${result
      ? html`<${Button} kind="primary" onClick=${onClose}>${t("part.close")}<//>`
      : html`<${Button} onClick=${onClose}>${t("part.cancel")}<//>
        <${Button} kind=${danger ? "danger" : "primary"} busy=${busy} disabled=${!ready} onClick=${submit}>${action}<//>`}>
    <form class="stacked" onSubmit=${submit}>${result || children}<input type="submit" hidden /></form>
    ${error && html`<${Problem} error=${error} />`}
  <//>`;
}

/** Name, description and labels of a model. */
export function EditModel({ model, onClose }) {
  const [name, setName] = useState(model.displayName);
  const [description, setDescription] = useState(model.description ?? "");
  const [labels, setLabels] = useState(
    Object.entries(model.labels ?? {}).filter(([key]) => key !== BASE_LABEL).map(([key, value]) => `${key}=${value}`).join("\n"),
  );
  const send = async () => {
    const said = labels.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
      const [key, ...value] = line.split("=");
      return [key.trim(), value.join("=").trim()];
    });
    await patch(`/v1/${model.name}`, { displayName: name, description, labels: Object.fromEntries(said) },
      { query: { updateMask: "displayName,description,labels" } });
  };
  return html`<${Form} title=${t("models.edit")} action=${t("models.save")} done=${t("models.saved")} onClose=${onClose} send=${send}
      ready=${name.trim() !== ""}>
    <${TextField} label=${t("models.name")} value=${name} onInput=${setName} maxlength="128" required />
    <${TextArea} label=${t("models.description")} optional value=${description} onInput=${setDescription} maxlength="8192" />
    <${TextArea} label=${t("models.labels")} optional hint=${t("models.labels.hint")} value=${labels} onInput=${setLabels} />
  <//>`;
}

/** The aliases of one version. */
export function EditAliases({ model, onClose }) {
  const before = model.versionAliases ?? [];
  const [text, setText] = useState(before.join(", "));
  const send = async () => {
    const after = text.split(/[\s,]+/).filter(Boolean);
    const changes = [...after.filter((one) => !before.includes(one)), ...before.filter((one) => !after.includes(one)).map((one) => `-${one}`)];
    if (changes.length) await post(`/v1/${versionOf(model)}:mergeVersionAliases`, { versionAliases: changes });
  };
  return html`<${Form} title=${t("models.aliases.title", { version: model.versionId })} action=${t("models.save")} done=${t("models.saved")}
      onClose=${onClose} send=${send}>
    <${TextField} label=${t("models.aliases")} hint=${t("models.aliases.hint")} value=${text} onInput=${setText} spellcheck="false" />
  <//>`;
}

/** The shares of those that are there already, once a newcomer takes `share` of 100. */
export function splitWith(split, newcomer, share) {
  const old = Object.entries(split ?? {}).filter(([, part]) => part > 0);
  const total = old.reduce((sum, [, part]) => sum + part, 0);
  if (total === 0) return { [newcomer]: 100 };
  const rest = Object.fromEntries(old.map(([id, part]) => [id, Math.floor((part * (100 - share)) / total)]));
  const given = Object.values(rest).reduce((sum, part) => sum + part, 0);
  rest[old[0][0]] += 100 - share - given;
  return { ...rest, [newcomer]: share };
}

/** Puts a version on an endpoint: a new one, or one that is there, with a share of its requests. */
export function DeployModel({ model, onClose }) {
  const { location } = nameOf(model.name);
  const found = useGet(`${parent(location)}/endpoints`, { query: { pageSize: 1000 } });
  const there = found.data?.endpoints ?? [];
  const [endpoint, setEndpoint] = useState("");
  const [name, setName] = useState(`${model.displayName.slice(0, 119)}_endpoint`);
  const [share, setShare] = useState("100");
  const chosen = there.find((one) => one.name === endpoint);
  const others = chosen?.deployedModels?.length > 0;
  const percent = Number(share);
  const send = async () => {
    const target = chosen?.name ?? (await post(`${parent(location)}/endpoints`, { displayName: name })).response.name;
    const trafficSplit = others ? splitWith(chosen.trafficSplit, "0", percent) : { 0: 100 };
    try {
      await post(`/v1/${target}:deployModel`, { deployedModel: { model: versionOf(model), displayName: model.displayName }, trafficSplit });
    } catch (error) {
      if (!chosen) await remove(`/v1/${target}`).catch(() => {});
      throw error;
    }
  };
  return html`<${Form} title=${t("models.deploy.title", { name: model.displayName, version: model.versionId })} action=${t("models.deploy")}
      done=${t("models.deploy.done")} onClose=${onClose} send=${send}
      ready=${(chosen || name.trim() !== "") && Number.isInteger(percent) && percent >= 0 && percent <= 100}>
    <p class="muted">${t("models.deploy.text")}</p>
    ${found.error && html`<${Problem} error=${found.error} retry=${found.reload} />`}
    <${SelectField} label=${t("models.endpoint")} value=${endpoint} onChange=${setEndpoint} options=${[
      { value: "", label: t("models.endpoint.new") },
      ...there.map((one) => ({ value: one.name, label: `${one.displayName} (${nameOf(one.name).id})` }))]} />
    ${!chosen && html`<${TextField} label=${t("models.endpoint.name")} value=${name} onInput=${setName} maxlength="128" />`}
    ${others && html`<${TextField} label=${t("models.share")} hint=${t("models.share.hint")} type="number" min="0" max="100" step="1"
      value=${share} onInput=${setShare} />`}
  <//>`;
}

/** How an endpoint's requests are shared among its models. */
export function EditTraffic({ endpoint, onClose }) {
  const [split, setSplit] = useState(Object.fromEntries(
    endpoint.deployedModels.map(({ id }) => [id, String(endpoint.trafficSplit?.[id] ?? 0)])));
  const sum = Object.values(split).reduce((total, part) => total + Number(part), 0);
  const whole = Object.values(split).every((part) => /^\d+$/.test(part)) && sum === 100;
  const send = () => patch(`/v1/${endpoint.name}`, { trafficSplit: Object.fromEntries(
    Object.entries(split).map(([id, part]) => [id, Number(part)])) }, { query: { updateMask: "trafficSplit" } }).then(() => undefined);
  return html`<${Form} title=${t("models.traffic.title", { name: endpoint.displayName })} action=${t("models.save")} done=${t("models.saved")}
      onClose=${onClose} send=${send} ready=${whole}>
    ${endpoint.deployedModels.map((one) => html`<${TextField} key=${one.id} label=${`${one.displayName || nameOf(one.model).id} (${one.modelVersionId}), %`}
      type="number" min="0" max="100" step="1" value=${split[one.id]} onInput=${(part) => setSplit({ ...split, [one.id]: part })} />`)}
    <p class=${whole ? "muted" : "bad"} role="status">${t("models.traffic.sum", { sum: Number.isFinite(sum) ? number(sum) : "" })}</p>
  <//>`;
}

/** Takes a model off an endpoint. */
export function UndeployModel({ endpoint, deployed, onClose }) {
  const last = endpoint.deployedModels.length === 1;
  const name = deployed.displayName || nameOf(deployed.model).id;
  const send = () => post(`/v1/${endpoint.name}:undeployModel`, { deployedModelId: deployed.id }).then(() => undefined);
  return html`<${Form} title=${t("models.undeploy.title", { name })} action=${t("models.undeploy")} danger done=${t("models.undeploy.done")}
      onClose=${onClose} send=${send}>
    <p>${t(last ? "models.undeploy.last" : "models.undeploy.text", { endpoint: endpoint.displayName })}</p>
  <//>`;
}

/** Copies a version's files into a bucket, and says where they lie. */
export function ExportModel({ model, onClose }) {
  const format = model.supportedExportFormats?.[0]?.id ?? "peft";
  const buckets = useGet("/storage/v1/b", { query: { project: project() } });
  const [typed, setTyped] = useState(null);
  const [place, setPlace] = useState("");
  const names = (buckets.data?.items ?? []).map(({ name }) => name);
  const prefix = typed ?? (names.length ? `gs://${names[0]}/exports` : "");
  const send = async () => {
    const operation = await post(`/v1/${versionOf(model)}:export`, {
      outputConfig: { exportFormatId: format, artifactDestination: { outputUriPrefix: prefix.trim() } },
    });
    setPlace(operation.metadata.outputInfo.artifactOutputUri);
    return true;
  };
  const result = place && html`<${Note} kind="good"><p>${t("models.export.done")}</p>
    <p><code class="anywhere">${place}</code></p><${Copy} text=${place} /><//>`;
  return html`<${Form} title=${t("models.export.title", { name: model.displayName, version: model.versionId })} action=${t("models.export")}
      onClose=${onClose} send=${send} ready=${prefix.trim() !== ""} result=${result}>
    <p class="muted">${t(`models.export.${format}`)}</p>
    ${buckets.loading ? html`<${Skeleton} lines=${2} />` : html`<${TextField} label=${t("models.export.to")} hint=${t("models.export.hint")}
      value=${prefix} onInput=${setTyped} placeholder="gs://bucket/folder" spellcheck="false" list="export-buckets" />`}
    <datalist id="export-buckets">${names.map((name) => html`<option key=${name} value=${`gs://${name}/exports`} />`)}</datalist>
  <//>`;
}

/** Deletes a model, or one version of it; says first what that breaks. */
export function DeleteModel({ model, version = false, onClose, onDone = () => {} }) {
  const places = model.deployedModels ?? [];
  const inTheWay = places.length > 0;
  const isDefault = version && (model.versionAliases ?? []).includes("default");
  const send = async () => {
    await remove(version ? `/v1/${versionOf(model)}:deleteVersion` : `/v1/${model.name}`);
    onDone();
  };
  const name = version ? `${model.displayName} (${model.versionId})` : model.displayName;
  return html`<${Form} title=${t("models.delete.title", { name })} action=${t("models.delete")} danger done=${t("models.delete.done")}
      onClose=${onClose} send=${send} ready=${!inTheWay && !isDefault}>
    <p>${t(version ? "models.delete.version" : "models.delete.text")}</p>
    ${inTheWay && html`<${Note} kind="warning">${t("models.delete.deployed", { endpoints: places.map(({ endpoint }) => nameOf(endpoint).id).join(", ") })}<//>`}
    ${isDefault && html`<${Note} kind="warning">${t("models.delete.default")}<//>`}
  <//>`;
}

/** Registers an adapter from a folder of a bucket. */
export function UploadModel({ onClose, parentModel }) {
  const installation = useGet("/v1/installation");
  const [name, setName] = useState(parentModel?.displayName ?? "");
  const [uri, setUri] = useState("");
  const [base, setBase] = useState("");
  const [location, setLocation] = useState(parentModel ? nameOf(parentModel.name).location : "us-central1");
  const references = (installation.data?.referenceModels ?? []).filter((one) => one.name.includes("@"));
  const send = async () => {
    await post(`${parent(location)}/models:upload`, {
      ...(parentModel ? { parentModel: parentModel.name } : {}),
      model: { displayName: name, artifactUri: uri.trim(), ...(base ? { labels: { [BASE_LABEL]: base.replace("@", "-") } } : {}) },
    });
  };
  return html`<${Form} title=${t(parentModel ? "models.upload.version" : "models.upload.title")} action=${t("models.upload.do")}
      done=${t("models.upload.done")} onClose=${onClose} send=${send} ready=${name.trim() !== "" && uri.trim() !== ""}>
    <p class="muted">${t("models.upload.text")}</p>
    <${TextField} label=${t("models.name")} value=${name} onInput=${setName} maxlength="128" />
    <${TextField} label=${t("models.upload.from")} hint=${t("models.upload.hint")} value=${uri} onInput=${setUri} placeholder="gs://bucket/adapter" spellcheck="false" />
    ${!parentModel && html`<${SelectField} label=${t("models.base")} hint=${t("models.upload.base.hint")} value=${base} onChange=${setBase} options=${[
      { value: "", label: t("models.upload.base.own") }, ...references.map((one) => ({ value: one.name, label: one.name }))]} />
    <${SelectField} label=${t("models.region")} value=${location} onChange=${setLocation}
      options=${(installation.data?.regions ?? [location]).map((one) => ({ value: one, label: one }))} />`}
  <//>`;
}
