// The wizard's second and third step: the examples to tune on, and those to measure with. Both are checked at once.
import { html, useState } from "./html.js";
import { number } from "./format.js";
import { t } from "./texts.js";
import { Button, Check, Field, Note, Radios, SelectField, TextArea, TextField } from "./parts.js";
import { BucketDialog } from "./bucket_dialog.js";
import { BuildPanel } from "./create_build.js";
import { DataReport, ofEvaluation } from "./data_check.js";
import { TensorBoard } from "./create_details.js";
import { UploadBox } from "./upload_box.js";
import { kindOf, takesEvaluation } from "./create_draft.js";

/** As every step; check: what useDataCheck gave; folder: where uploads go unless one says otherwise. */
export function TrainingData({ draft, change, wrong, installation, check, folder }) {
  const kind = kindOf(draft, installation);
  const { recommended } = installation;
  return html`
    <p class="hint">${t(`create.data.form.${kind}`)} ${t("create.data.count", { examples: number(recommended.examples) })}</p>
    <${Source} label=${t("create.source")} value=${draft.data} error=${wrong.data} source=${draft.source} folder=${folder} builds
      onSource=${(source) => change({ source, ...turned(draft, "data", draft.source, source) })} onFolder=${(value) => change({ folder: value })} onValue=${(data) => change({ data })}
      onUploaded=${(data) => change({ data, uploads: draft.uploads + 1 })}>
      ${draft.source === "build" && html`<${BuildPanel} draft=${draft} change=${change} installation=${installation} folder=${folder} />`}
    <//>
    ${draft.data && html`<${DataReport} of=${check} keep=${(finding) => !ofEvaluation(finding)} examples=${check.report?.examples} />`}
    ${kind === "chat" && html`<${TextArea} optional label=${t("create.context.default")} hint=${t("create.context.default.hint")}
      value=${draft.defaultContext} error=${wrong.defaultContext} onInput=${(defaultContext) => change({ defaultContext })} rows="3" />`}`;
}

export function Evaluation({ draft, change, wrong, installation, check, folder }) {
  const set = (field) => (value) => change({ [field]: value });
  const { fewest, most } = installation.evaluationRows;
  if (!takesEvaluation(draft, installation)) {
    return html`<${Note}><p>${t("create.evaluation.chat")}</p><//>
      <${TensorBoard} draft=${draft} change=${change} error=${wrong.tensorboard} />`;
  }
  return html`
    <${Check} label=${t("create.evaluation.enable")} hint=${t("create.evaluation.hint")} checked=${draft.evaluated} onChange=${set("evaluated")} />
    ${draft.evaluated && html`
      <${Source} label=${t("create.evaluation.data")} value=${draft.evaluation} error=${wrong.evaluation} source=${draft.evaluationSource}
        folder=${folder} hint=${t("create.evaluation.rows", { fewest: number(fewest), most: number(most) })}
        onSource=${(evaluationSource) => change({ evaluationSource, ...turned(draft, "evaluation", draft.evaluationSource, evaluationSource) })}
        onFolder=${set("folder")} onValue=${set("evaluation")}
        onUploaded=${(evaluation) => change({ evaluation, uploads: draft.uploads + 1 })} />
      ${draft.evaluation && draft.data && html`<${DataReport} of=${check} keep=${ofEvaluation} examples=${check.report?.evaluation?.examples} />`}
      ${draft.evaluation && !draft.data && html`<p class="hint">${t("create.evaluation.first")}</p>`}
      <${TextField} label=${t("create.interval")} hint=${t("create.interval.hint")} error=${wrong.interval} inputmode="numeric"
        value=${draft.interval} onInput=${set("interval")} />
      <${Check} label=${t("create.stopping")} hint=${t("create.stopping.hint")} checked=${draft.earlyStopping} onChange=${set("earlyStopping")} />
      <${SelectField} label=${t("create.selection")} hint=${t("create.selection.hint")} error=${wrong.selection} value=${draft.selection}
        onChange=${set("selection")} options=${["default", "true", "false"].map((value) => ({ value, label: t(`create.selection.${value}`) }))} />
      <${TensorBoard} draft=${draft} change=${change} error=${wrong.tensorboard} />`}`;
}

/** What another source of data means for them: each source keeps what was chosen there, and an address can be mended by hand. */
function turned(draft, field, from, to) {
  const held = { ...draft.held, [`${field} ${from}`]: draft[field] };
  return { held, [field]: held[`${field} ${to}`] ?? (to === "existing" ? draft[field] : "") };
}

/** Where a data file comes from: uploaded, an object that is there, or (with `builds`) a repository: children. */
function Source({ label, hint, value, error, source, folder, builds = false, onSource, onFolder, onValue, onUploaded, children }) {
  const [browsing, setBrowsing] = useState("");
  const kinds = ["upload", "existing", ...(builds ? ["build"] : [])];
  const uploaded = source === "upload" && value;
  const chosen = source === "existing" || uploaded;
  return html`<${Radios} label=${label} value=${source} onChange=${onSource} options=${kinds.map((kind) => ({
      value: kind, label: t(`create.source.${kind}`) }))} />
    ${source === "upload" && !uploaded && html`
      <${Field} label=${t("create.destination")} hint=${t("create.destination.hint")}>
        ${(carry) => html`<span class="beside"><input type="text" value=${folder} spellcheck=${false} ...${carry}
          onInput=${(event) => onFolder(event.target.value)} />
          <${Button} icon="folder" onClick=${() => setBrowsing("folder")}>${t("bucket.browse")}<//></span>`}
      <//>
      <${UploadBox} folder=${folder} hint=${hint ?? t("create.upload.hint")} onDone=${onUploaded} />
      ${error && html`<p class="error lone" tabindex="-1" data-wrong>${error}</p>`}`}
    ${chosen && html`<${Field} label=${t("create.object")} hint=${uploaded ? t("create.uploaded") : hint} error=${error}>
      ${(carry) => html`<span class="beside"><input type="text" value=${value} spellcheck=${false} readonly=${Boolean(uploaded)}
        placeholder="gs://bucket/data/train.jsonl" onInput=${(event) => onValue(event.target.value)} ...${carry} />
        ${uploaded ? html`<${Button} icon="upload" onClick=${() => onValue("")}>${t("create.another")}<//>`
          : html`<${Button} icon="folder" onClick=${() => setBrowsing("object")}>${t("bucket.browse")}<//>`}</span>`}
    <//>`}
    ${children}
    ${source === "build" && error && html`<p class="error lone" tabindex="-1" data-wrong>${error}</p>`}
    ${browsing && html`<${BucketDialog} title=${t(browsing === "folder" ? "create.destination" : "create.object.choose")}
      folders=${browsing === "folder"} start=${browsing === "folder" ? `${folder}/` : value}
      onChoose=${browsing === "folder" ? onFolder : onValue} onClose=${() => setBrowsing("")} />`}`;
}
