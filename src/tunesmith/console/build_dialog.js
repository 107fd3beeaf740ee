// Asks for a data set of a codebase: where it lies, where the data set goes, and what is seldom changed below.
import { html, useState } from "./html.js";
import { parent, post, useGet } from "./api.js";
import { go, project } from "./state.js";
import { nameOf } from "./format.js";
import { t } from "./texts.js";
import { Button, Check, Dialog, Problem, SelectField, TextField } from "./parts.js";

const KINDS = ["instruction", "fim", "chat"];
const LOCATION = "us-central1";

/** BuildDialog: onClose, onMade(job). */
export function BuildDialog({ onClose, onMade }) {
  const buckets = useGet("/storage/v1/b", { query: { project: project() } });
  const first = buckets.data?.items?.[0]?.name;
  const [said, setSaid] = useState({
    repository: "", revision: "", name: "", output: null, policy: "permissive", kinds: KINDS, evaluation: "", rows: "", split: "path",
  });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const set = (name) => (value) => setSaid({ ...said, [name]: value });
  const output = said.output ?? (first ? `gs://${first}/data` : "");
  const wrong = (...fields) => error?.violations?.find(({ field }) => fields.some((name) => field.endsWith(name)))?.description;
  const make = async (event) => {
    event?.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const job = await post(`${parent(LOCATION)}/datasetBuildJobs`, bodyOf({ ...said, output }));
      onMade(job);
      onClose();
      const { location, id } = nameOf(job.name);
      go(`/datasets/${location}/${id}`);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<${Dialog} wide title=${t("build.title")} onClose=${onClose} actions=${html`
      <${Button} onClick=${onClose}>${t("part.cancel")}<//>
      <${Button} kind="primary" busy=${busy} disabled=${!said.repository.trim() || !output.trim()} onClick=${make}>${t("build.start")}<//>`}>
    <form class="fields" onSubmit=${make}>
      <${TextField} label=${t("build.repository")} hint=${t("build.repository.hint")} value=${said.repository} onInput=${set("repository")}
        error=${wrong("repository")} placeholder="https://git.example.com/team/shop.git" />
      <${TextField} optional label=${t("build.revision")} hint=${t("build.revision.hint")} value=${said.revision}
        onInput=${set("revision")} error=${wrong("revision")} />
      <${TextField} optional label=${t("build.name")} value=${said.name} onInput=${set("name")} error=${wrong("displayName")} />
      <${TextField} label=${t("build.output")} hint=${t("build.output.hint")} value=${output} onInput=${set("output")}
        error=${wrong("outputUriPrefix")} placeholder="gs://bucket/data" />
      <${TextField} label=${t("build.policy")} hint=${t("build.policy.hint")} value=${said.policy} onInput=${set("policy")}
        error=${wrong("licencePolicy")} />
      <${SelectField} label=${t("build.split")} hint=${t("build.split.hint")} value=${said.split} onChange=${set("split")} options=${[
        { value: "path", label: t("build.split.path") }, { value: "package", label: t("build.split.package") }]} />
      <${TextField} optional label=${t("build.rows")} hint=${t("build.rows.hint")} inputmode="numeric" value=${said.rows} onInput=${set("rows")}
        error=${wrong("mostRows")} />
      <${TextField} optional label=${t("build.evaluation")} hint=${t("build.evaluation.hint")} inputmode="numeric" value=${said.evaluation}
        onInput=${set("evaluation")} error=${wrong("evaluationRows")} />
      <fieldset class="radios"><legend>${t("build.kinds")}</legend>
        ${KINDS.map((kind) => html`<${Check} key=${kind} label=${t(`build.kind.${kind}`)} checked=${said.kinds.includes(kind)}
          onChange=${(on) => set("kinds")(KINDS.filter((one) => (one === kind ? on : said.kinds.includes(one))))} />`)}</fieldset>
      <button type="submit" hidden></button>
    </form>
    ${error && html`<${Problem} error=${error} />`}
  <//>`;
}

function bodyOf({ repository, revision, name, output, policy, kinds, evaluation, rows, split }) {
  const plain = repository.trim();
  const options = { licencePolicy: policy.trim(), kinds, splitBy: split };
  if (evaluation.trim()) options.evaluationRows = Number(evaluation);
  if (rows.trim()) options.mostRows = Number(rows);
  return {
    displayName: name.trim() || plain.split("/").filter(Boolean).pop().replace(/\.(git|zip|tar\.\w+|tgz)$/, ""),
    codebaseSource: { repository: plain, ...(revision.trim() ? { revision: revision.trim() } : {}) },
    outputConfig: { gcsDestination: { outputUriPrefix: output.trim() } },
    options,
  };
}
