// What a model is asked, and its answer while it comes; and the same question as code. Knows nothing of pages.
import { ApiError, all, call, parent, post } from "./api.js";
import { nameOf } from "./format.js";

const MOST_MODELS = 1000;
const TAUGHT_FIM = "+fim"; // at the end of a base's name: given the tokens for gaps when it was tuned

/**
 * Everything that can be asked in a project: {tuned, reference}, each [{id, name, kind, label, target, base, ...}].
 * `target` is null while a tuned model is on no endpoint.
 */
export async function targets(installation) {
  const [models, endpoints] = await Promise.all([
    all(`${parent("-")}/models`, "models", { most: MOST_MODELS }),
    all(`${parent("-")}/endpoints`, "endpoints", { most: MOST_MODELS }),
  ]);
  const shares = new Map(endpoints.flatMap((endpoint) => (endpoint.deployedModels ?? []).map((deployed) => [
    `${endpoint.name} ${deployed.id}`, { share: endpoint.trafficSplit?.[deployed.id] ?? 0, version: deployed.modelVersionId }])));
  const reference = installation.referenceModels.map((model) => referenceTarget(model, installation)).sort(byUse);
  return { tuned: models.map((model) => tunedTarget(model, shares, reference)), reference };
}

// The newest models for code first; a name without a version, which stands for one of the others, last.
function byUse(a, b) {
  const rank = ({ name }) => (name.startsWith("code") ? 0 : 4) + (name.endsWith("@002") ? 0 : name.includes("@") ? 1 : 2);
  return rank(a) - rank(b) || a.name.length - b.name.length || a.name.localeCompare(b.name);
}

function referenceTarget(model, installation) {
  const base = installation.baseModels.find(({ name }) => name === model.baseModel);
  const kind = model.kind === "chat" || model.kind === "codechat" ? "chat" : "generation";
  return {
    id: model.name, name: model.name, kind, label: model.name, note: model.baseModel, baseModel: model.baseModel,
    target: `${parent("us-central1").slice(4)}/publishers/google/models/${model.name}`, fim: base ? base.fim : null, tuned: false,
  };
}

function tunedTarget(model, shares, reference) {
  const { location, id } = nameOf(model.name);
  const own = model.tunesmith ?? {};
  const places = (model.deployedModels ?? [])
    .map(({ endpoint, deployedModelId }) => ({ endpoint, ...shares.get(`${endpoint} ${deployedModelId}`) }))
    .sort((a, b) => (b.share ?? 0) - (a.share ?? 0));
  const kind = own.kind === "chat" ? "chat" : "generation";
  const said = own.lineage?.plan?.reference ?? "";
  const fits = reference.filter((one) => one.kind === kind);
  const base = fits.find((one) => one.name === said) ?? fits.find((one) => one.baseModel === own.baseModel) ?? plainBase(own, kind);
  return {
    id: `${location}/${id}`, name: model.name, kind, label: model.displayName || id, version: model.versionId,
    baseModel: own.baseModel, base, location, target: places[0]?.endpoint ?? null, share: places[0]?.share ?? 0,
    fim: own.baseModel?.endsWith(TAUGHT_FIM) ? true : base?.fim ?? null, tuned: true, context: own.lineage?.plan?.spec?.default_context ?? "",
  };
}

// A base that no reference model stands for is asked by its own name; such a one only goes on with code.
function plainBase(own, kind) {
  if (kind === "chat" || !own.baseModel || own.baseModel.includes("/")) return null;
  return {
    id: own.baseModel, name: own.baseModel, kind, label: own.baseModel, baseModel: own.baseModel, tuned: false, fim: null,
    target: `${parent("us-central1").slice(4)}/publishers/google/models/${own.baseModel}`,
  };
}

/** Puts a tuned model on an endpoint of its own, as the SDK does. */
export async function deploy(model) {
  const where = `/v1/${model.name.split("/models/")[0]}`;
  const made = await post(`${where}/endpoints`, { displayName: `${model.label.slice(0, 118)}_endpoint` });
  const endpoint = made.response.name;
  await post(`/v1/${endpoint}:deployModel`, { deployedModel: { model: model.name, displayName: model.label } });
}

/** How many tokens an instance has for a target. */
export async function count(target, instance, signal) {
  const said = await call("POST", `/v1/${target}:countTokens`, { body: { instances: [instance] }, signal });
  return said.totalTokens;
}

/**
 * Asks, and hears the texts of all candidates as they grow: onText([text, ...]). Resolves to
 * {texts, finish, inputTokens, outputTokens}; one candidate is streamed, several come at once.
 */
export function ask(target, instance, parameters, { signal, onText }) {
  return (parameters.candidateCount ?? 1) > 1
    ? whole(target, instance, parameters, signal)
    : streamed(target, instance, parameters, signal, onText);
}

async function whole(target, instance, parameters, signal) {
  const body = { instances: [instance], parameters };
  const said = await call("POST", `/v1/${target}:predict`, { body, signal });
  const texts = said.predictions.flatMap((one) => one.candidates?.map(({ content }) => content) ?? [one.content]);
  return { texts, finish: "", ...tokensOf(said.metadata) };
}

async function streamed(target, instance, parameters, signal, onText) {
  const body = { inputs: [tensor(instance)], parameters: tensor(parameters) };
  const answer = await call("POST", `/v1/${target}:serverStreamingPredict`, { body, query: { usage: true }, signal, raw: true });
  let text = "";
  let last = {};
  for await (const element of elements(answer.body)) {
    const piece = element.outputs[0] && plain(element.outputs[0]);
    if (piece) onText([(text += piece.content ?? piece.candidates[0].content)]);
    else last = element;
  }
  return { texts: [text], finish: last.finishReason ?? "", ...tokensOf(last.metadata) };
}

function tokensOf(metadata) {
  const { inputTokenCount, outputTokenCount } = metadata?.tokenMetadata ?? {};
  return { inputTokens: inputTokenCount?.totalTokens ?? null, outputTokens: outputTokenCount?.totalTokens ?? null };
}

/** The elements of a JSON array as it arrives: one a line, as no text holds a line break of its own. */
export async function* elements(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      const lines = rest.split("\r\n");
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line.replace(/^\[/, "").replace(/,$/, ""));
    }
    ended = rest.endsWith("]");
    const left = rest.replace(/^\[/, "").slice(0, -1);
    if (ended && left) yield JSON.parse(left);
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!ended) throw new ApiError("", { status: "BROKEN_OFF" });
}

function tensor(value) {
  if (Array.isArray(value)) return { listVal: value.map(tensor) };
  if (typeof value === "object" && value !== null) {
    return { structVal: Object.fromEntries(Object.entries(value).map(([name, one]) => [name, tensor(one)])) };
  }
  if (typeof value === "string") return { stringVal: [value] };
  return Number.isInteger(value) ? { intVal: [value] } : { floatVal: [value] };
}

function plain(value) {
  if (value.structVal) return Object.fromEntries(Object.entries(value.structVal).map(([name, one]) => [name, plain(one)]));
  if (value.listVal) return value.listVal.map(plain);
  return (value.stringVal ?? value.floatVal ?? value.boolVal ?? [null])[0];
}

// The same question as code.

const SHELL_QUOTE = `'\\''`;

/** A question as [{id, label, code}]: curl, the Vertex AI SDK, our own. `model`: of targets(). */
export function samples({ model, target, instance, parameters, origin, project, keys }) {
  return [
    { id: "curl", label: "curl", code: curl({ target, instance, parameters, origin, keys }) },
    { id: "vertex", label: "Vertex AI SDK", code: python("vertex", { model, instance, parameters, origin, project, keys }) },
    { id: "tunesmith", label: "tunesmith", code: python("tunesmith", { model, instance, parameters, origin, project, keys }) },
  ];
}

function curl({ target, instance, parameters, origin, keys }) {
  const body = JSON.stringify({ instances: [instance], parameters }, null, 2).replaceAll("'", SHELL_QUOTE);
  return [
    `curl -s -X POST "${origin}/v1/${target}:predict"`,
    ...(keys ? ['  -H "Authorization: Bearer $TUNESMITH_API_KEY"'] : []),
    '  -H "Content-Type: application/json; charset=utf-8"',
    `  -d '${body}'`,
  ].join(" \\\n");
}

// JSON's texts are Python's too.
const text = (value) => JSON.stringify(value);

function python(sdk, { model, instance, parameters, origin, project, keys }) {
  const chat = model.kind === "chat";
  const kind = chat ? "CodeChatModel" : "CodeGenerationModel";
  const others = chat ? [instance.messages.length > 1 && "ChatMessage", instance.examples && "InputOutputTextPair"] : [];
  const names = [kind, ...others.filter(Boolean)].sort().join(", ");
  const location = model.location ?? "us-central1";
  const where = `project=${text(project)}, location=${text(location)}`;
  const head = sdk === "vertex"
    ? ["from tunesmith import vertex_compat", `from vertexai.language_models import ${names}`, "",
      `vertex_compat.init(${text(origin)}, ${where})`]
    : ["import tunesmith", `from tunesmith.language_models import ${names}`, "",
      `tunesmith.init(server=${text(origin)}, ${where})`];
  const load = model.tuned ? `${kind}.get_tuned_model(${text(model.name)})` : `${kind}.from_pretrained(${text(model.name)})`;
  const key = keys ? ["# The key is read from TUNESMITH_API_KEY."] : [];
  const ask = chat ? chatLines : codeLines;
  return [...head.slice(0, 3), ...key, head[3], `model = ${load}`, ...ask(instance, parameters, sdk === "tunesmith"), ""].join("\n");
}

const SPELLED = {
  temperature: "temperature", maxOutputTokens: "max_output_tokens", topP: "top_p", topK: "top_k", stopSequences: "stop_sequences",
  candidateCount: "candidate_count",
};

// The SDK's methods have no word for a seed, nor for topP and topK but for ours of a chat: curl has.
function spelled(parameters, wide) {
  return Object.entries(parameters)
    .filter(([name]) => SPELLED[name] && (wide || !["topP", "topK"].includes(name)))
    .map(([name, value]) => `    ${SPELLED[name]}=${text(value)},`);
}

function codeLines({ prefix, suffix }, parameters) {
  return ["answer = model.predict(", `    prefix=${text(prefix)},`, ...(suffix ? [`    suffix=${text(suffix)},`] : []),
    ...spelled(parameters, false), ")", ...told(parameters)];
}

function chatLines({ messages, context, examples }, parameters, own) {
  const history = messages.slice(0, -1).map(({ author, content }) => `        ChatMessage(author=${text(author)}, content=${text(content)}),`);
  const pairs = (examples ?? []).map(({ input, output }) =>
    `        InputOutputTextPair(input_text=${text(input.content)}, output_text=${text(output.content)}),`);
  return [
    "chat = model.start_chat(",
    ...(context ? [`    context=${text(context)},`] : []),
    ...(pairs.length ? ["    examples=[", ...pairs, "    ],"] : []),
    ...(history.length ? ["    message_history=[", ...history, "    ],"] : []),
    ")", "answer = chat.send_message(", `    ${text(messages.at(-1)?.content ?? "")},`, ...spelled(parameters, own), ")", ...told(parameters),
  ];
}

const told = ({ candidateCount = 1 }) =>
  candidateCount > 1 ? ["for candidate in answer.candidates:", "    print(candidate.text)"] : ["print(answer.text)"];
