// What the wizard was told so far: how it begins, what is wrong with it, and the jobs that it asks for. Draws nothing.
import { nameOf, number } from "./format.js";
import { t } from "./texts.js";

/** The steps of the wizard, in the order of the product that this one stands in for. */
export const STEPS = ["details", "data", "evaluation", "review"];
export const MOST_JOBS = 8;
const LONGEST_NAME = 128;
/** Where a customer's key serves. */
export const KEY_REGION = "us-central1";

const FIELDS = {
  details: ["name", "base", "kind", "location", "output", "steps", "multiplier", "accelerator", "context", "tensorboard", "key", "serviceAccount"],
  data: ["data", "defaultContext"],
  evaluation: ["evaluation", "interval", "earlyStopping", "selection"],
};
/** Fields that lie in the collapsed part of the first step. */
export const ADVANCED = new Set(["steps", "multiplier", "accelerator", "context", "tensorboard", "key", "serviceAccount"]);

/** The step that a field belongs to; "review" for what has no field. */
export const stepOf = (field) => Object.keys(FIELDS).find((step) => FIELDS[step].includes(field)) ?? "review";

// Parameters of the pipeline, and the fields that they are.
const PARAMETERS = {
  model_display_name: "name", large_model_reference: "base", location: "location", train_steps: "steps",
  learning_rate_multiplier: "multiplier", accelerator_type: "accelerator", max_context_length: "context",
  tensorboard_resource_id: "tensorboard", encryption_spec_key_name: "key", dataset_uri: "data", default_context: "defaultContext",
  evaluation_data_uri: "evaluation", evaluation_interval: "interval", enable_early_stopping: "earlyStopping",
  enable_checkpoint_selection: "selection",
};
const OTHERS = {
  displayName: "name", location: "location", "runtimeConfig.gcsOutputDirectory": "output", "encryptionSpec.kmsKeyName": "key",
  serviceAccount: "serviceAccount", templateUri: "base",
};

/** The field that a path in a request's body belongs to; "" for one that the wizard does not show. */
export function fieldOf(path) {
  const parameter = /^runtimeConfig\.parameterValues[.[](\w+)/.exec(path)?.[1];
  return (parameter ? PARAMETERS[parameter] : OTHERS[path]) ?? "";
}

/** A draft that says nothing yet but the server's own defaults. */
export function blank({ defaults }) {
  return {
    name: "", base: defaults.base_model, kind: "generation", location: defaults.location, output: "",
    steps: String(defaults.train_steps), multiplier: String(defaults.learning_rate_multiplier), accelerator: defaults.accelerator_type,
    context: "", tensorboard: "", encrypted: false, key: "", serviceAccount: "",
    source: "upload", data: "", folder: "", build: "",
    codebase: { repository: "", revision: "", policy: "permissive" }, defaultContext: "",
    evaluated: false, evaluationSource: "upload", evaluation: "", interval: String(defaults.evaluation_interval),
    earlyStopping: defaults.early_stopping, selection: defaults.checkpoint_selection,
    held: {}, uploads: 0, labels: {}, extra: {}, advanced: false, submission: "",
  };
}

/** The draft that asks for what a job asked for, under the next name. */
export function draftOf(job, installation) {
  const values = { ...olderValues(job.runtimeConfig?.parameters), ...job.runtimeConfig?.parameterValues };
  const draft = blank(installation);
  for (const [parameter, field] of Object.entries(PARAMETERS)) {
    const value = values[parameter];
    if (value == null || value === "") continue;
    draft[field] = typeof draft[field] === "boolean" ? String(value).toLowerCase() === "true" : String(value);
  }
  const known = new Set([...Object.keys(PARAMETERS), "project"]);
  draft.extra = Object.fromEntries(Object.entries(values).filter(([name, value]) => !known.has(name) && value !== "" && value != null));
  draft.kind = /chat/.test(job.templateUri ?? job.pipelineSpec?.pipelineInfo?.name ?? "") ? "chat" : "generation";
  draft.key ||= job.encryptionSpec?.kmsKeyName ?? "";
  draft.encrypted = Boolean(draft.key);
  draft.location = nameOf(job.name).location;
  draft.output = job.runtimeConfig?.gcsOutputDirectory ?? "";
  draft.evaluated = Boolean(draft.evaluation);
  draft.source = "existing";
  draft.evaluationSource = "existing";
  draft.name = following(draft.name || job.displayName || "");
  draft.labels = Object.fromEntries(Object.entries(job.labels ?? {}).filter(([name]) => !name.startsWith("vertex-ai-")));
  // The server names this one itself for jobs that name none.
  draft.serviceAccount = /^\d+-compute@developer\.gserviceaccount\.com$/.test(job.serviceAccount ?? "") ? "" : job.serviceAccount ?? "";
  draft.advanced = true;
  return draft;
}

function olderValues(parameters = {}) {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, Object.values(value)[0]]));
}

/** "Payments" -> "Payments 2" -> "Payments 3". */
function following(name) {
  const [, stem, last] = /^(.*?)(?: (\d{1,4}))?$/s.exec(name);
  const tail = ` ${Number(last ?? 1) + 1}`;
  return stem.slice(0, LONGEST_NAME - tail.length) + tail;
}

// What follows from a draft.

export const referenceOf = (draft, { referenceModels }) => referenceModels.find(({ name }) => name === draft.base);

/** What the tuned model will do: "generation" or "chat". */
export const kindOf = (draft, installation) => referenceOf(draft, installation)?.kind ?? draft.kind;

/** The base model's facts, where the catalog has them: of one that stands behind a reference name, too. */
export function baseOf(draft, installation) {
  const name = referenceOf(draft, installation)?.baseModel ?? draft.base;
  return installation.baseModels.find((base) => base.name === name) ?? { name };
}

/** The step counts that are asked for: a job for each. What is no number is left out. */
export function stepsOf(draft) {
  const said = draft.steps.split(/[,\s]+/).filter(Boolean);
  return [...new Set(said.filter((text) => /^\d{1,7}$/.test(text)).map(Number))].filter((count) => count > 0);
}

/** Examples of a step. */
export function batchOf(draft, installation) {
  const long = (referenceOf(draft, installation)?.contextTokens ?? 0) > 8192;
  const context = draft.context || (long ? "32k" : "8k");
  return installation.batchSizes.find((one) => one.acceleratorType === draft.accelerator && one.maxContextLength === context)?.batchSize ?? 0;
}

export const takesEvaluation = (draft, installation) => kindOf(draft, installation) !== "chat" || installation.chatEvaluation;

/** What is wrong with a draft, as far as that can be seen without the server: {field: text}. */
export function problemsOf(draft, installation) {
  const wrong = {};
  const said = draft.steps.split(/[,\s]+/).filter(Boolean);
  const steps = stepsOf(draft);
  if (!draft.name.trim()) wrong.name = t("create.wrong.name");
  else if ([...namesOf(draft)].some((name) => name.length > LONGEST_NAME)) wrong.name = t("create.wrong.long", { most: LONGEST_NAME });
  if (draft.output && !isPlace(draft.output)) wrong.output = t("create.wrong.place");
  if (steps.length === 0 || steps.length < new Set(said).size) wrong.steps = t("create.wrong.steps");
  else if (steps.length > MOST_JOBS) wrong.steps = t("create.wrong.many", { most: MOST_JOBS });
  if (!(Number(draft.multiplier) > 0)) wrong.multiplier = t("create.wrong.multiplier");
  if (draft.encrypted && !draft.key.trim()) wrong.key = t("create.wrong.key");
  else if (draft.encrypted && (draft.accelerator === "TPU" || draft.location !== KEY_REGION)) {
    wrong.key = t("create.wrong.key.where", { region: KEY_REGION });
  }
  if (!draft.data.trim()) wrong.data = t("create.wrong.data");
  else if (!isPlace(draft.data)) wrong.data = t("create.wrong.place");
  if (draft.evaluated && takesEvaluation(draft, installation)) {
    if (!draft.evaluation.trim()) wrong.evaluation = t("create.wrong.evaluation");
    else if (!isPlace(draft.evaluation)) wrong.evaluation = t("create.wrong.place");
    if (!/^[1-9]\d{0,6}$/.test(draft.interval.trim())) wrong.interval = t("create.wrong.interval");
    else if (steps.length && Number(draft.interval) > Math.min(...steps)) {
      wrong.interval = t("create.wrong.interval.long", { steps: number(Math.min(...steps)) });
    }
  }
  return wrong;
}

const isPlace = (uri) => /^(gs|s3):\/\/[a-z0-9][-._a-z0-9]{1,220}[a-z0-9](\/.*)?$/s.test(uri.trim());

// The jobs.

/** The name of each job and of its model: the draft's, and the steps where there are several. */
export function namesOf(draft) {
  const steps = stepsOf(draft);
  return steps.map((count) => (steps.length > 1 ? t("create.sweep.name", { name: draft.name.trim(), steps: count }) : draft.name.trim()));
}

/** The requests that make the jobs: [{steps, body}]. */
export function requestsOf(draft, installation, project) {
  const names = namesOf(draft);
  return stepsOf(draft).map((steps, place) => ({ steps, body: bodyOf(draft, installation, project, steps, names[place]) }));
}

function bodyOf(draft, installation, project, steps, name) {
  const kind = kindOf(draft, installation);
  const values = {
    ...draft.extra,
    project,
    location: draft.location,
    model_display_name: name,
    large_model_reference: draft.base,
    dataset_uri: draft.data.trim(),
    train_steps: steps,
    learning_rate_multiplier: Number(draft.multiplier),
    accelerator_type: draft.accelerator,
  };
  if (draft.context) values.max_context_length = draft.context;
  if (draft.tensorboard) values.tensorboard_resource_id = draft.tensorboard;
  if (kind === "chat" && draft.defaultContext) values.default_context = draft.defaultContext;
  if (draft.evaluated && takesEvaluation(draft, installation)) {
    Object.assign(values, {
      evaluation_data_uri: draft.evaluation.trim(),
      evaluation_interval: Number(draft.interval),
      enable_early_stopping: draft.earlyStopping,
      enable_checkpoint_selection: draft.selection,
    });
  }
  const body = {
    displayName: name,
    templateUri: installation.templates[kind],
    runtimeConfig: { gcsOutputDirectory: draft.output.trim(), parameterValues: values },
  };
  if (draft.encrypted && draft.key.trim()) {
    values.encryption_spec_key_name = draft.key.trim();
    body.encryptionSpec = { kmsKeyName: draft.key.trim() };
  }
  if (draft.serviceAccount.trim()) body.serviceAccount = draft.serviceAccount.trim();
  if (Object.keys(draft.labels).length) body.labels = draft.labels;
  return body;
}

/** Ids under which a request that is sent twice is one job. */
export function newSubmission() {
  const [token] = crypto.getRandomValues(new Uint32Array(1));
  const stamp = new Date().toISOString().slice(0, 19).replace(/\D/g, "");
  return `tune-${stamp}-${token.toString(36).padStart(7, "0")}`;
}
