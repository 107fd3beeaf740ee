// What a tuning job found out: base against tuned, answers side by side, its data, its parameters, and how to ask for it.
import { html } from "./html.js";
import { figure, nameOf, number, percent } from "./format.js";
import { session, setQuery } from "./state.js";
import { has, t } from "./texts.js";
import { Check, CodeBlock, Empty, Facts, Note, Section } from "./parts.js";
import { visible } from "./job_log.js";

const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);
const word = (prefix, name) => (has(`${prefix}.${name}`) ? t(`${prefix}.${name}`) : name);

/** Base against tuned in figures, and held-out examples. */
export function Results({ report, state }) {
  const { evaluation, examples, training } = report;
  if (!evaluation) {
    return html`<${Empty} icon="compare" title=${t("job.results.none")} text=${t(ENDED.has(state) ? "job.results.never" : "job.results.soon")} />`;
  }
  return html`
    ${training?.baseIsBest && html`<${Note} kind="warning">${t("job.base.best")}<//>`}
    ${!evaluation.heldOut && html`<${Note}>${t("job.not.held.out")}<//>`}
    <${Section} title=${t("job.base.tuned")}><${Scores} evaluation=${evaluation} /><//>
    ${examples?.length > 0 && html`<${Section} title=${t(evaluation.heldOut ? "job.examples" : "job.examples.training")}>
      <div class="job-examples">${examples.map((one, place) => html`<${Example} key=${place} example=${one} number_=${place + 1} />`)}</div><//>`}`;
}

function Scores({ evaluation }) {
  const { base, tuned, kinds = {}, forgetting } = evaluation;
  const rows = [
    { label: t(evaluation.heldOut ? "job.score.loss" : "job.score.loss.training"), base: base.loss, tuned: tuned.loss, low: true },
    { label: t(evaluation.heldOut ? "job.score.accuracy" : "job.score.accuracy.training"), base: base.accuracy, tuned: tuned.accuracy, share: true },
    ...Object.keys(kinds).sort().reverse().flatMap((kind) => ofKind(kind, kinds[kind])),
    forgetting && { label: t("job.score.general", { count: number(forgetting.rows) }), base: forgetting.baseLoss, tuned: forgetting.tunedLoss,
      low: true, interval: forgetting.interval },
  ].filter((row) => row && row.base != null && row.tuned != null);
  return html`<div class="scroll" tabindex="0" aria-label=${t("job.base.tuned")}><table class="job-scores">
    <thead><tr><th scope="col"><span class="hidden">${t("job.score")}</span></th><th scope="col"><i class="swatch base"></i>${t("job.base")}</th>
      <th scope="col"><i class="swatch tuned"></i>${t("job.tuned")}</th><th scope="col">${t("job.change")}</th>
      <th class="bars" scope="col"><span class="hidden">${t("job.score.bars")}</span></th></tr></thead>
    <tbody>${rows.map((row) => html`<${Score} key=${row.label} row=${row} />`)}</tbody></table></div>
    <p class="muted under">${t("job.score.hint")}</p>`;
}

const SCORES = [["loss", false], ["accuracy", true], ["exact_match", true], ["edit_similarity", true]];

function ofKind(kind, { base, tuned, asked }) {
  return SCORES.map(([name, share]) => ({
    label: t("job.score.kind", { kind: word("job.kind", kind), score: t(`job.score.of.${name}`, { count: number(asked) }) }),
    base: base[name], tuned: tuned[name], share, low: !share,
  }));
}

function Score({ row }) {
  const told = (value) => (row.share ? percent(value) : figure(value));
  const change = row.tuned - row.base;
  // What lies within its own uncertainty is no change.
  const sure = row.interval ? row.interval[0] > 0 || row.interval[1] < 0 : Math.abs(change) > 1e-9;
  const verdict = !sure ? "same" : change < 0 === Boolean(row.low) ? "better" : "worse";
  const sign = change > 0 ? "+" : "";
  const size = row.share ? t("job.points", { count: `${sign}${number(100 * change, 1)}` }) : `${sign}${number(change, 3)}`;
  const most = row.share ? 1 : Math.max(row.base, row.tuned, 1e-9);
  return html`<tr><th scope="row">${row.label}</th><td>${told(row.base)}</td><td><strong>${told(row.tuned)}</strong></td>
    <td class=${`verdict ${verdict}`}>${size} <span>${t(`job.verdict.${verdict}`)}</span>
      ${row.interval && html`<span class="muted interval">${t("job.interval", { low: number(row.interval[0], 3), high: number(row.interval[1], 3) })}</span>`}</td>
    <td class="bars" aria-hidden="true"><i class="base" style=${{ width: `${(100 * row.base) / most}%` }}></i>
      <i class="tuned" style=${{ width: `${(100 * row.tuned) / most}%` }}></i></td></tr>`;
}

function Example({ example, number_ }) {
  const wanted = example.wanted.trim();
  const answer = (kind) => html`<div class=${`answer ${kind}`}><h4><i class=${`swatch ${kind}`}></i>${t(`job.${kind}`)}
      ${kind !== "wanted" && example[kind].trim() === wanted && html` <span class="same">${t("job.same")}</span>`}</h4>
    <pre tabindex="0" aria-label=${t("job.answer.of", { kind: t(`job.${kind}`), number: number_ })}><bdi>${visible(example[kind]) || t("job.answer.none")}</bdi></pre></div>`;
  return html`<article><h3>${t("job.example", { number: number_ })}</h3>
    <pre class="prompt" tabindex="0" aria-label=${t("job.prompt.of", { number: number_ })}><bdi>${visible(example.prompt)}</bdi></pre>
    <div class="answers">${["wanted", "base", "tuned"].map(answer)}</div></article>`;
}

/** What the job was given to learn from. */
export function Data({ report, state }) {
  const { data = {}, parameters, batchSize } = report;
  const of = (name) => parameters?.find((one) => one.name === name)?.value;
  const uris = [[t("job.data.training"), code(of("dataset"))], [t("job.data.evaluation"), code(of("evaluation_data")) || t("job.data.no.evaluation")]];
  if (data.examples == null) {
    return html`<${Section} title=${t("job.tab.data")}><${Facts} rows=${uris} />
      <p class="muted under">${t(ENDED.has(state) ? "job.data.never" : "job.data.soon")}</p><//>`;
  }
  const spreads = ["length", "prompt", "target"].filter((name) => data.statistics?.[name]);
  return html`<${Section} title=${t("job.tab.data")}><${Facts} rows=${[
      ...uris,
      [t("job.data.examples"), number(data.examples), data.evaluationExamples ? t("job.data.and.evaluation", { count: number(data.evaluationExamples) }) : ""],
      [t("job.data.tokens"), number(data.tokens), t("job.data.targets", { count: number(data.targetTokens) })],
      [t("job.data.seen"), number(data.epochs, 1), t("job.data.seen.how", { batch: number(batchSize) })],
      [t("job.data.longest"), number(data.longest)],
      [t("job.data.format"), data.format],
      [t("job.data.findings"), data.findings ? number(data.findings) : t("job.data.no.findings")],
    ]} /><//>
    ${spreads.length > 0 && html`<${Section} title=${t("job.data.spread")}><div class="scroll" tabindex="0" aria-label=${t("job.data.spread")}><table class="plain">
      <thead><tr><th scope="col"><span class="hidden">${t("job.data.part")}</span></th>${["mean", "p50", "p95", "max"].map((name) =>
        html`<th scope="col" key=${name}>${t(`job.data.${name}`)}</th>`)}</tr></thead>
      <tbody>${spreads.map((name) => html`<tr key=${name}><th scope="row">${t(`job.data.${name}`)}</th>
        ${["mean", "p50", "p95", "max"].map((value) => html`<td key=${value}>${number(data.statistics[name][value], value === "mean" ? 1 : 0)}</td>`)}</tr>`)}
      </tbody></table></div><//>`}
    <${Section} title=${t("job.data.identity")}><${Facts} rows=${[
      ...Object.entries(data.sha256 ?? {}).map(([role, sum]) => [t("job.data.sha256", { role: word("job.role", role) }), html`<code class="sum">${sum}</code>`]),
      ...Object.entries(data.builtFrom ?? {}).map(([name, value]) => [word("job.built", name), code(typeof value === "string" ? value : JSON.stringify(value))]),
    ]} /><//>`;
}

const code = (text) => (text ? html`<code>${text}</code>` : "");

/** Every parameter, its default marked; only those that were chosen, if one likes. */
export function Parameters({ report, query }) {
  const all = report.parameters ?? [];
  const few = query.changed === "1";
  const shown = few ? all.filter(({ isDefault }) => !isDefault) : all;
  const told = (value) => (value === null || value === "" ? html`<span class="muted">${t("job.parameter.open")}</span>`
    : typeof value === "boolean" ? t(value ? "job.yes" : "job.no") : typeof value === "number" ? number(value, Number.isInteger(value) ? 0 : 3) : String(value));
  const schedule = report.schedule;
  return html`<${Section} title=${t("job.tab.parameters")} actions=${html`<${Check} label=${t("job.parameter.changed")} checked=${few}
      onChange=${(on) => setQuery({ changed: on ? "1" : "" })} />`}>
    <div class="scroll" tabindex="0" aria-label=${t("job.tab.parameters")}><table class="job-parameters"><thead><tr><th scope="col">${t("job.parameter")}</th>
      <th scope="col">${t("job.value")}</th><th scope="col">${t("job.default")}</th></tr></thead>
      <tbody>${shown.map((one) => html`<tr key=${one.name} class=${one.isDefault ? "" : "chosen"}>
        <th scope="row"><code>${one.name}</code><span class="muted">${has(`job.about.${one.name}`) ? t(`job.about.${one.name}`) : one.description}</span></th>
        <td>${told(one.value)}</td>
        <td>${one.isDefault ? html`<span class="muted">${t("job.is.default")}</span>`
          : one.default === null ? html`<span class="chosen-mark">${t("job.chosen")}</span>` : html`<span class="chosen-mark">${t("job.chosen")}</span>${" "}
            <span class="muted">${t("job.default.is", { value: "" })}${told(one.default)}</span>`}</td></tr>`)}</tbody></table></div><//>
    ${schedule && !few && html`<${Section} title=${t("job.derived")}><${Facts} rows=${[
      [t("job.batch.size"), number(report.batchSize)], [t("job.peak"), figure(schedule.peak)],
      [t("job.warmup"), number(schedule.warmup_steps)], [t("job.anneal"), number(schedule.anneal_steps)],
    ]} /><//>`}`;
}

/** The request that makes such a job, and the commands that follow it. */
export function Request({ job, report }) {
  const { project, location, id } = nameOf(job.name);
  const origin = window.location.origin;
  const key = session.get()?.keysRequired ? '  -H "Authorization: Bearer $TUNESMITH_API_KEY" \\\n' : "";
  const parent = `${origin}/v1/projects/${project}/locations/${location}/pipelineJobs`;
  const asked = job.runtimeConfig && {
    displayName: job.displayName, templateUri: job.templateUri, runtimeConfig: job.runtimeConfig, labels: ownLabels(job.labels),
    encryptionSpec: job.encryptionSpec,
  };
  const curl = asked && `curl -X POST \\\n${key}  -H "Content-Type: application/json; charset=utf-8" \\\n  "${parent}" \\\n  -d ${quoted(JSON.stringify(asked, null, 2))}`;
  const look = `curl ${key.trim() ? '-H "Authorization: Bearer $TUNESMITH_API_KEY" ' : ""}"${parent}/${id}"`;
  const command = !asked && commandOf(report.parameters ?? []);
  return html`<div class="job-request">
    ${asked ? html`<p>${t("job.request.text")}</p><${CodeBlock} label=${t("job.request.curl")} code=${curl} />`
      : html`<p>${t("job.request.command.text")}</p><${CodeBlock} label=${t("job.request.command")} code=${command} wrap />`}
    <${CodeBlock} label=${t("job.request.look")} code=${look} wrap />
    <${CodeBlock} label=${t("job.request.watch")} code=${`tunesmith jobs watch ${id} --server ${origin}${project === "local" ? "" : ` --project ${project}`}`} wrap />
  </div>`;
}

function ownLabels(labels = {}) {
  const own = Object.entries(labels).filter(([name]) => name !== "vertex-ai-pipelines-run-billing-id");
  return own.length ? Object.fromEntries(own) : undefined;
}

function commandOf(parameters) {
  const chosen = parameters.filter(({ isDefault, name, value }) => !isDefault && value !== null && name !== "dataset");
  const dataset = parameters.find(({ name }) => name === "dataset")?.value ?? "";
  const flag = ({ name, value }) => {
    const long = FLAGS[name] ?? `--${name.replaceAll("_", "-")}`;
    return typeof value === "boolean" ? (value ? long : long.replace("--", "--no-")) : `${long} ${quoted(String(value))}`;
  };
  return ["tunesmith tune", quoted(dataset), ...chosen.map(flag)].join(" ");
}

const FLAGS = { display_name: "--name" };

/** For a shell, whatever it holds. */
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
