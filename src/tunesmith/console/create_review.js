// The wizard's last step: everything that was chosen, what it will cost, the same as code, and the start.
import { html, useEffect, useState } from "./html.js";
import { parent, post } from "./api.js";
import { bytes, duration, number } from "./format.js";
import { project } from "./state.js";
import { t } from "./texts.js";
import { Button, CodeBlock, Facts, Figures, Link, Note, Problem, Section, Skeleton, Tabs } from "./parts.js";
import { clientOf, curlOf, ownOf, sdkTakes, vertexOf } from "./create_code.js";
import { DataReport } from "./data_check.js";
import { batchOf, kindOf, referenceOf, requestsOf, stepsOf, takesEvaluation } from "./create_draft.js";

/** As every step; problems {field: text} of the whole draft, onStep(step), onRefused(error), started (jobs of a sweep so far), error. */
export function Review({ draft, installation, examples, problems, onStep, onRefused, started, error }) {
  const open = Object.keys(problems).length > 0;
  return html`
    ${error && html`<${Problem} error=${error} title=${t("create.refused")} />`}
    ${started.length > 0 && html`<${Note} kind="warning"><p>${t("create.started.some", { count: number(started.length) })}</p>
      <ul>${started.map(({ name, displayName }) => html`<li key=${name}><${Link} to=${`/jobs/${name.split("/")[3]}/${name.split("/")[5]}`}>
        ${displayName}<//></li>`)}</ul><//>`}
    <${Cost} draft=${draft} installation=${installation} examples=${examples} open=${open} onRefused=${onRefused} />
    <${Chosen} draft=${draft} installation=${installation} onStep=${onStep} />
    ${!open && html`<${AsCode} draft=${draft} installation=${installation} />`}`;
}

/** What the jobs will take, by the server's own estimate. */
function Cost({ draft, installation, examples, open, onRefused }) {
  const { estimates, error, busy, again } = useEstimates(draft, installation, open, onRefused);
  if (open) return null;
  if (error) return error.violations.length ? null : html`<${Problem} error=${error} retry=${again} title=${t("create.cost.failed")} />`;
  if (busy && estimates.length === 0) return html`<${Section} title=${t("create.cost")}><${Skeleton} lines=${3} /><//>`;
  const [first] = estimates;
  if (!first) return null;
  if (!first.valid) {
    return html`<${Section} title=${t("create.cost.failed")}>
      <${DataReport} of=${{ report: first, again }} examples=${first.examples} /><//>`;
  }
  return html`<${Section} title=${t("create.cost")}>
    ${estimates.length > 1 ? html`<${Costs} estimates=${estimates} />` : html`<${Figures} items=${figuresOf(first)} />`}
    ${estimates.length > 1 && html`<${Figures} items=${figuresOf(first).slice(3)} />`}
    ${first.memoryAvailableBytes != null && first.memoryBytes > first.memoryAvailableBytes && html`<${Note} kind="warning">
      ${t("create.cost.memory", { needed: bytes(first.memoryBytes), there: bytes(first.memoryAvailableBytes) })}<//>`}
    <${Advice} estimates=${estimates} examples=${first.examples ?? examples} installation=${installation}
      evaluated=${draft.evaluated && takesEvaluation(draft, installation)} />
  <//>`;
}

function figuresOf(one) {
  const unknown = t("create.cost.unknown");
  return [
    { label: t("create.cost.steps"), value: number(one.steps), note: t("create.cost.batch", { batch: number(one.batchSize) }) },
    { label: t("create.cost.epochs"), value: epochsText(one.epochs), note: t("create.cost.examples", { count: number(one.examples) }) },
    { label: t("create.cost.time"), value: one.seconds == null ? unknown : about(one.seconds), note: one.seconds == null ? one.deviceKnown : one.device },
    { label: t("create.cost.tokens"), value: one.tokens == null ? unknown : number(one.tokens),
      note: one.longestTokens == null ? "" : t("create.cost.longest", { count: number(one.longestTokens) }) },
    { label: t("create.cost.memory.label"), value: one.memoryBytes == null ? unknown : bytes(one.memoryBytes),
      note: one.memoryAvailableBytes == null ? "" : t("create.cost.there", { there: bytes(one.memoryAvailableBytes) }) },
    { label: t("create.cost.queue"), value: one.queuePosition == null ? unknown : queueText(one.queuePosition) },
  ];
}

const queueText = (place) => (place ? t("create.cost.place", { place: number(place) }) : t("create.cost.now"));
const about = (seconds) => t("create.cost.about", { time: duration(seconds < 120 ? Math.ceil(seconds / 5) * 5 : Math.ceil(seconds / 60) * 60) });

export const epochsText = (epochs) => number(epochs, epochs < 10 ? 1 : 0);

function Costs({ estimates }) {
  return html`<table class="costs"><thead><tr><th scope="col">${t("create.cost.steps")}</th><th scope="col">${t("create.cost.epochs")}</th>
    <th scope="col">${t("create.cost.time")}</th></tr></thead>
    <tbody>${estimates.map((one) => html`<tr key=${one.steps}><th scope="row">${number(one.steps)}</th><td>${epochsText(one.epochs)}</td>
      <td>${one.seconds == null ? t("create.cost.unknown") : about(one.seconds)}</td></tr>`)}</tbody></table>`;
}

/** What the numbers mean for how well the model will learn. */
function Advice({ estimates, examples, installation, evaluated }) {
  const { recommended } = installation;
  const told = [];
  if (examples < recommended.examples) told.push(t("create.advice.few", { examples: number(examples), enough: number(recommended.examples) }));
  if (estimates.some(({ epochs }) => epochs < 1)) told.push(t("create.advice.less"));
  if (estimates.some(({ epochs }) => epochs > 20)) told.push(t(evaluated ? "create.advice.much" : "create.advice.much.blind"));
  return told.length ? html`<${Note}><ul>${told.map((text) => html`<li key=${text}>${text}</li>`)}</ul><//>` : null;
}

/** An estimate for each job, one after the other; what the server refuses goes to its fields. */
function useEstimates(draft, installation, open, onRefused) {
  const requests = open ? [] : requestsOf(draft, installation, project());
  const key = JSON.stringify([draft.location, requests]);
  const [state, setState] = useState({ key: "", estimates: [], error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (requests.length === 0) return undefined;
    const abort = new AbortController();
    (async () => {
      const estimates = [];
      try {
        for (const { body } of requests) {
          estimates.push(await post(`${parent(draft.location)}/pipelineJobs:estimate`, body, { signal: abort.signal }));
          setState({ key, estimates: [...estimates], error: null });
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.violations?.length) onRefused(error);
        setState({ key, estimates, error });
      }
    })();
    return () => abort.abort();
  }, [key, turn]);
  const mine = state.key === key ? state : { estimates: [], error: null };
  const busy = !mine.error && mine.estimates.length < requests.length;
  return { ...mine, busy, again: () => setTurn(turn + 1) };
}

function Chosen({ draft, installation, onStep }) {
  const reference = referenceOf(draft, installation);
  const steps = stepsOf(draft);
  const evaluated = draft.evaluated && takesEvaluation(draft, installation);
  const yes = (value) => t(value ? "create.yes" : "create.no");
  return html`
    <${Part} title=${t("create.step.details")} onEdit=${() => onStep("details")} rows=${[
      [t("create.name"), draft.name], [t("create.base"), draft.base, reference ? reference.baseModel : ""],
      [t("create.kind"), t(`create.kind.${kindOf(draft, installation)}`)], [t("create.region"), draft.location], [t("create.output"), draft.output],
      [t("create.steps"), steps.map((count) => number(count)).join(", "), t("create.cost.batch", { batch: number(batchOf(draft, installation)) })],
      [t("create.multiplier"), draft.multiplier], [t("create.accelerator"), draft.accelerator], [t("create.context"), draft.context],
      [t("create.board"), draft.tensorboard.split("/").pop()], [t("create.key"), draft.encrypted ? draft.key : t("create.key.default")],
      [t("create.account"), draft.serviceAccount], [t("create.labels"), Object.entries(draft.labels).map((pair) => pair.join("=")).join(", ")],
      ...Object.entries(draft.extra).map(([name, value]) => [name, String(value)])]} />
    <${Part} title=${t("create.step.data")} onEdit=${() => onStep("data")} rows=${[
      [t("create.object"), draft.data], [t("create.context.default"), kindOf(draft, installation) === "chat" ? draft.defaultContext : ""]]} />
    <${Part} title=${t("create.step.evaluation")} onEdit=${() => onStep("evaluation")} rows=${evaluated ? [
      [t("create.object"), draft.evaluation], [t("create.interval"), draft.interval], [t("create.stopping"), yes(draft.earlyStopping)],
      [t("create.selection"), t(`create.selection.${draft.selection}`)]] : [[t("create.evaluation.enable"), yes(false)]]} />`;
}

function Part({ title, onEdit, rows }) {
  return html`<${Section} title=${title} class="chosen" actions=${html`<${Button} small onClick=${onEdit}
    aria-label=${t("create.edit", { step: title })}>${t("create.edit.short")}<//>`}><${Facts} rows=${rows} /><//>`;
}

function AsCode({ draft, installation }) {
  const takes = sdkTakes(draft, installation);
  const ways = [["curl", "curl", curlOf], ...(takes ? [["vertex", t("create.code.vertex"), vertexOf], ["own", t("create.code.own"), ownOf]]
    : [["client", "Python", clientOf]])];
  const [chosen, setChosen] = useState("curl");
  const [id, label, make] = ways.find(([name]) => name === chosen) ?? ways[0];
  return html`<${Section} title=${t("create.code")}>
    <${Tabs} label=${t("create.code")} current=${id} onChange=${setChosen} tabs=${ways.map(([name, said]) => ({ id: name, label: said }))} />
    <${CodeBlock} label=${label} code=${make(draft, installation, project())} /><//>`;
}
