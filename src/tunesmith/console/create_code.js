// The same jobs as a command and as programs, to take along. Each is whole: paste it and it runs.
import { session } from "./state.js";
import { KEY_REGION, kindOf, requestsOf, stepsOf, takesEvaluation } from "./create_draft.js";

const quoted = (value) => JSON.stringify(value);
const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** curl with the body that the wizard sends. */
export function curlOf(draft, installation, project) {
  const key = session.get()?.keysRequired ? `  -H "Authorization: Bearer $TUNESMITH_API_KEY" \\\n` : "";
  const path = `/v1/projects/${encodeURIComponent(project)}/locations/${draft.location}/pipelineJobs`;
  const stem = kindOf(draft, installation) === "chat" ? "tune-large-chat-model" : "tune-large-model";
  return requestsOf(draft, installation, project).map(({ steps, body }, _, all) => {
    const id = `${stem}-$(date +%Y%m%d%H%M%S)${all.length > 1 ? `-${steps}` : ""}`;
    return `curl -X POST \\\n${key}  -H "Content-Type: application/json; charset=utf-8" \\\n  -d @- \\\n`
      + `  ${shellQuoted(window.location.origin + path)}"?pipelineJobId=${id}" <<'EOF'\n${JSON.stringify(body, null, 2)}\nEOF`;
  }).join("\n\n");
}

/** Whether the model classes of the SDK have an argument for everything that the draft says. */
export function sdkTakes(draft, installation) {
  const chat = kindOf(draft, installation) === "chat";
  const named = installation.referenceModels.some(({ name }) => name === draft.base);
  const evaluates = draft.evaluated && takesEvaluation(draft, installation);
  return named && !(chat && (evaluates || draft.context)) && !Object.keys(draft.labels).length && !Object.keys(draft.extra).length;
}

/** A program with the Google SDK; as it is, but for the two lines that point it here. */
export function vertexOf(draft, installation, project) {
  const more = [["staging_bucket", draft.output.trim().split("/").slice(0, 3).join("/")], ...initOf(draft)];
  const head = ["from tunesmith import vertex_compat", "",
    callOf("vertex_compat.init", [[null, quoted(window.location.origin)], ["project", quoted(project)], ["location", quoted(draft.location)],
      ...more.filter(([, value]) => value).map(([name, value]) => [name, quoted(value)])]),
    "", `from vertexai.language_models import ${classesOf(draft, installation).join(", ")}`, ""];
  return [...head, ...tuningOf(draft, installation)].join("\n");
}

/** A program with our own classes of the same names, which need no SDK. */
export function ownOf(draft, installation, project) {
  const said = [["server", quoted(window.location.origin)], ["project", quoted(project)], ["location", quoted(draft.location)],
    ...initOf(draft).map(([name, value]) => [name, quoted(value)])];
  const head = ["import tunesmith", `from tunesmith.language_models import ${classesOf(draft, installation).join(", ")}`, "",
    callOf("tunesmith.init", said), ""];
  return [...head, ...tuningOf(draft, installation)].join("\n");
}

/** A program with the client that takes a body as the API does: for what the model classes have no argument for. */
export function clientOf(draft, installation, project) {
  const requests = requestsOf(draft, installation, project);
  const lines = ["from datetime import datetime", "", "from tunesmith.client import Client", "",
    `client = ${callOf("Client", [[null, quoted(window.location.origin)], ["project", quoted(project)], ["location", quoted(draft.location)]])}`,
    `stamp = datetime.now().strftime("%Y%m%d%H%M%S")`];
  for (const { steps, body } of requests) {
    lines.push(`job = client.create_job(\n    ${indented(pythonOf(body), 1)},\n    job_id=f"tune-{stamp}-${steps}",\n)`, `print(job["name"])`);
  }
  return lines.join("\n");
}

const initOf = (draft) => [
  ["encryption_spec_key_name", draft.encrypted && draft.location === KEY_REGION ? draft.key.trim() : ""],
  ["service_account", draft.serviceAccount.trim()],
].filter(([, value]) => value);

function classesOf(draft, installation) {
  const model = kindOf(draft, installation) === "chat" ? "CodeChatModel" : "CodeGenerationModel";
  const spec = (draft.evaluated && takesEvaluation(draft, installation)) || draft.tensorboard;
  return spec ? [model, "TuningEvaluationSpec"] : [model];
}

function tuningOf(draft, installation) {
  const steps = stepsOf(draft);
  const [model] = classesOf(draft, installation);
  const several = steps.length > 1;
  const name = draft.name.trim();
  const said = [
    ["training_data", quoted(draft.data.trim())],
    ["train_steps", several ? "steps" : String(steps[0] ?? "")],
    ["learning_rate_multiplier", pythonOf(Number(draft.multiplier))],
    ["tuning_job_location", quoted(draft.location)],
    ["tuned_model_location", quoted(draft.location)],
    ["model_display_name", several ? `${quoted(`${name}, `)} + f"{steps} steps"` : quoted(name)],
    ["accelerator_type", quoted(draft.accelerator)],
  ];
  if (draft.context) said.push(["max_context_length", quoted(draft.context)]);
  if (kindOf(draft, installation) === "chat" && draft.defaultContext) said.push(["default_context", quoted(draft.defaultContext)]);
  const spec = specOf(draft, installation);
  if (spec.length) said.push(["tuning_evaluation_spec", callOf("TuningEvaluationSpec", spec)]);
  const lines = [`model = ${model}.from_pretrained(${quoted(draft.base)})`];
  if (!several) return [...lines, `job = ${callOf("model.tune_model", said)}`, "tuned = job.get_tuned_model()  # waits"];
  return [...lines, `jobs = [\n    ${indented(callOf("model.tune_model", said), 1)}\n    for steps in (${steps.join(", ")})\n]`];
}

function specOf(draft, installation) {
  const said = [];
  if (draft.evaluated && takesEvaluation(draft, installation)) {
    said.push(["evaluation_data", quoted(draft.evaluation.trim())], ["evaluation_interval", draft.interval.trim()],
      ["enable_early_stopping", pythonOf(draft.earlyStopping)]);
    if (draft.selection !== "default") said.push(["enable_checkpoint_selection", pythonOf(draft.selection === "true")]);
  }
  if (draft.tensorboard) said.push(["tensorboard", quoted(draft.tensorboard)]);
  return said;
}

function callOf(name, said) {
  const words = said.map(([key, value]) => `    ${key === null ? "" : `${key}=`}${indented(value, 1)},`);
  return `${name}(\n${words.join("\n")}\n)`;
}

const indented = (text, depth) => text.replaceAll("\n", `\n${"    ".repeat(depth)}`);

/** A JSON value as Python writes it. */
function pythonOf(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(pythonOf).join(", ")}]`;
  if (typeof value !== "object") return quoted(value);
  const entries = Object.entries(value).map(([key, inner]) => `    ${quoted(key)}: ${indented(pythonOf(inner), 1)},`);
  return entries.length ? `{\n${entries.join("\n")}\n}` : "{}";
}
