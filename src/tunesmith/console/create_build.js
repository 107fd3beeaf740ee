// Training data from a repository: asks for a data set of a codebase, follows the build, and takes what it made.
import { html, useEffect, useState } from "./html.js";
import { parent, post, useGet } from "./api.js";
import { nameOf, number, stateOf } from "./format.js";
import { t } from "./texts.js";
import { Button, Facts, Link, Problem, Progress, SelectField, StateMark, TextField } from "./parts.js";
import { baseOf, kindOf } from "./create_draft.js";

const LIVE_MS = 1500;
const GONE = new Set(["FAILED", "CANCELLED", "CANCELLING"]);
const SHOWN = ["codebaseSource.repository", "codebaseSource.revision"];
const POLICIES = ["permissive", "weak-copyleft", "any"];

export function BuildPanel({ draft, change, installation, folder }) {
  const built = useGet(`${parent("-")}/datasetBuildJobs`, { query: { pageSize: 50 } });
  const job = useGet(draft.build ? `/v1/${draft.build}` : null, { every: LIVE_MS });
  const state = stateOf(job.data?.state);
  const chat = kindOf(draft, installation) === "chat";
  // What a build has made is taken when it is there; another kind of model takes the other file.
  useEffect(() => {
    const { trainingDataUri, evaluationDataUri, chatTrainingDataUri, chatEvaluationDataUri } = job.data?.outputInfo ?? {};
    if (state !== "SUCCEEDED" || job.data.name !== draft.build) return;
    const data = (chat ? chatTrainingDataUri : trainingDataUri) ?? "";
    const evaluation = (chat ? chatEvaluationDataUri : evaluationDataUri) ?? "";
    if (data === draft.data) return;
    change(evaluation && !chat ? { data, evaluated: true, evaluation, evaluationSource: "existing" } : { data });
  }, [job.data, state, chat, draft.build]);

  const jobs = (built.data?.datasetBuildJobs ?? []).filter((one) => !GONE.has(stateOf(one.state)));
  const options = [{ value: "", label: t("create.build.new") },
    ...jobs.map(({ name, displayName, createTime }) => ({ value: name, label: `${displayName} · ${createTime.slice(0, 10)}` }))];
  if (draft.build && !jobs.some(({ name }) => name === draft.build)) {
    options.push({ value: draft.build, label: job.data?.displayName ?? nameOf(draft.build).id });
  }
  return html`
    ${options.length > 1 && html`<${SelectField} label=${t("create.build.which")} value=${draft.build} options=${options}
      onChange=${(build) => change({ build, data: "" })} />`}
    ${draft.build ? html`<${Build} job=${job} state=${state} data=${draft.data} />`
      : html`<${NewBuild} draft=${draft} change=${change} installation=${installation} folder=${folder} />`}`;
}

/** A build as it runs, and what came of it. */
function Build({ job, state, data }) {
  if (job.error && !job.data) return html`<${Problem} error=${job.error} retry=${job.reload} />`;
  if (!job.data) return html`<${Progress} value=${null} label=${t("part.loading")} />`;
  const { progress, error, statistics, codebaseSource, name } = job.data;
  const { location, id } = nameOf(name);
  const sum = (side) => Object.values(statistics?.rows?.[side] ?? {}).reduce((all, one) => all + one, 0);
  return html`<div class="built" aria-live="polite">
    <p class="row"><${StateMark} state=${state} note=${progress?.total ? t("create.build.done", {
        done: number(progress.done), total: number(progress.total) }) : progress?.phase ?? ""} />
      <${Link} to=${`/datasets/${location}/${id}`}>${t("create.build.look")}<//></p>
    ${state === "RUNNING" && html`<${Progress} value=${progress?.total ? progress.done / progress.total : null} label=${t("create.build.progress")} />`}
    ${error && html`<${Problem} error=${{ message: error.message }} title=${t("create.build.failed")} />`}
    ${statistics && html`<${Facts} rows=${[
      [t("create.build.repository"), codebaseSource.repository],
      [t("create.build.files"), t("create.build.done", { done: number(statistics.files.used ?? 0), total: number(statistics.files.total) })],
      [t("create.build.rows"), t("create.build.rows.of", { training: number(sum("training")), evaluation: number(sum("evaluation")) })],
      [t("create.object"), data]]} />`}
    ${state === "SUCCEEDED" && !data && html`<p class="error lone">${t("create.build.nothing")}</p>`}
  </div>`;
}

/** Whether all of an error is said at the fields. */
const isShown = ({ violations = [] }) => violations.length > 0 && violations.every(({ field }) => SHOWN.includes(field));

function NewBuild({ draft, change, installation, folder }) {
  const said = draft.codebase;
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const set = (field) => (value) => change({ codebase: { ...said, [field]: value } });
  const wrong = (field) => error?.violations?.find((one) => one.field === field)?.description;
  const begin = async () => {
    setBusy(true);
    setError(null);
    try {
      const made = await post(`${parent(draft.location)}/datasetBuildJobs`, buildOf(said, draft, installation, folder));
      change({ build: made.name, data: "" });
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const enter = (event) => {
    if (event.key !== "Enter" || !said.repository.trim()) return;
    event.preventDefault();
    begin();
  };
  return html`<div class="step-fields" onKeyDown=${enter}>
    <${TextField} label=${t("create.build.repository")} hint=${t("create.build.repository.hint")} value=${said.repository}
      onInput=${set("repository")} error=${wrong(SHOWN[0])} placeholder="https://git.example.com/team/shop.git" spellcheck=${false} />
    <${TextField} optional label=${t("create.build.revision")} hint=${t("create.build.revision.hint")} value=${said.revision}
      onInput=${set("revision")} error=${wrong(SHOWN[1])} spellcheck=${false} />
    <${SelectField} label=${t("create.build.policy")} hint=${t("create.build.policy.hint")} value=${said.policy} onChange=${set("policy")}
      options=${[...POLICIES, "permissive,unknown"].map((value) => ({ value, label: t(`create.build.policy.${value.replace(",", "-")}`) }))} />
    ${error && !isShown(error) && html`<${Problem} error=${error} />`}
    <div><${Button} icon="play" busy=${busy} disabled=${!said.repository.trim()} onClick=${begin}>${t("create.build.start")}<//></div>
  </div>`;
}

function buildOf({ repository, revision, policy }, draft, installation, folder) {
  const plain = repository.trim();
  const gaps = baseOf(draft, installation).fim !== false;
  const kinds = kindOf(draft, installation) === "chat" ? ["chat"] : gaps ? ["instruction", "fim"] : ["instruction"];
  const name = plain.split(/[/:]/).filter(Boolean).pop().replace(/\.(git|zip|tar|tgz|tar\.\w+)$/, "");
  return {
    displayName: name.slice(0, 128) || "codebase",
    codebaseSource: { repository: plain, ...(revision.trim() ? { revision: revision.trim() } : {}) },
    outputConfig: { gcsDestination: { outputUriPrefix: folder } },
    options: { licencePolicy: policy, kinds },
  };
}
