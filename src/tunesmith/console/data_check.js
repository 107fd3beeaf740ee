// What is wrong or unwise in a data file, by line with the text that is meant: asked of the server, and shown.
import { html, useCallback, useEffect, useState } from "./html.js";
import { parent, post } from "./api.js";
import { Icon } from "./icons.js";
import { number } from "./format.js";
import { t } from "./texts.js";
import { Button, Problem, Progress } from "./parts.js";

const FIRST_SHOWN = 12;
const answers = new Map();

/**
 * The check of training data, and of evaluation data beside it if there are any: {report, error, busy, again}. asked:
 * {datasetUri, evaluationDataUri, baseModel, ...}, or null to ask nothing; version: another one where the same address has
 * other bytes. An answer is kept while the page lives, until `again`.
 */
export function useDataCheck(asked, location, version = 0) {
  const key = asked && JSON.stringify([parent(location), version, asked]);
  const [state, setState] = useState({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!key || answers.has(key)) return undefined;
    const abort = new AbortController();
    setState({ key, busy: true });
    // What is typed is asked for once typing pauses.
    const timer = setTimeout(async () => {
      try {
        answers.set(key, await post(`${parent(location)}/datasets:check`, asked, { signal: abort.signal }));
        setState({ key });
      } catch (error) {
        if (error.name !== "AbortError") setState({ key, error });
      }
    }, 300);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key, turn]);
  const again = useCallback(() => {
    answers.delete(key);
    setTurn((before) => before + 1);
  }, [key]);
  const report = key ? answers.get(key) ?? null : null;
  const current = state.key === key ? state : {};
  return { report, error: report ? null : current.error ?? null, busy: Boolean(key) && !report && !current.error, again };
}

/** Of a check with evaluation data, what is said of those: findings whose fields begin with `evaluation`. */
export const ofEvaluation = ({ field }) => field === "evaluation" || field.startsWith("evaluation.");

/** DataReport: of (what useDataCheck gave), keep(finding) (which findings are shown), examples (how many there are). */
export function DataReport({ of, keep = () => true, examples }) {
  if (of.busy) return html`<div class="checking" role="status"><p>${t("check.busy")}</p><${Progress} value=${null} label=${t("check.busy")} /></div>`;
  if (of.error) return html`<${Problem} error=${of.error} retry=${of.again} title=${t("check.failed")} />`;
  if (!of.report) return null;
  const findings = of.report.findings.filter(keep);
  const errors = findings.filter(({ severity }) => severity === "error");
  const warnings = findings.filter(({ severity }) => severity !== "error");
  return html`<div class="report" aria-live="polite">
    <div class="row"><${Verdict} errors=${errors.length} warnings=${warnings.length} examples=${examples} />
      <${Button} small kind="quiet" onClick=${of.again}>${t("check.again")}<//></div>
    <${Findings} title=${t("check.errors")} findings=${errors} tone="bad" />
    <${Findings} title=${t("check.warnings")} findings=${warnings} tone="warn" />
  </div>`;
}

function Verdict({ errors, warnings, examples }) {
  const count = { errors: number(errors), warnings: number(warnings), examples: number(examples ?? 0) };
  if (errors) return html`<p class="verdict bad"><${Icon} name="cross" />${t("check.bad", count)}</p>`;
  return html`<p class="verdict good"><${Icon} name="check" />${t(examples == null ? "check.good" : "check.good.examples", count)}
    ${warnings > 0 && html` <span class="muted">${t("check.advice", count)}</span>`}</p>`;
}

/** Findings of one severity: the first of them, and the rest when one asks for it. */
function Findings({ title, findings, tone }) {
  const [every, setEvery] = useState(false);
  if (findings.length === 0) return null;
  const shown = every ? findings : findings.slice(0, FIRST_SHOWN);
  return html`<section class=${`findings ${tone}`}><h3>${title} <span class="count">${number(findings.length)}</span></h3>
    <ul>${shown.map((finding, place) => html`<${Finding} key=${place} finding=${finding} tone=${tone} />`)}</ul>
    ${shown.length < findings.length && html`<${Button} small onClick=${() => setEvery(true)}>
      ${t("check.all", { count: number(findings.length) })}<//>`}
  </section>`;
}

function Finding({ finding, tone }) {
  const { line, field, message, remedy, text } = finding;
  return html`<li><${Icon} name=${tone === "bad" ? "cross" : "warning"} /><div>
    <p class="where">${line ? t("check.line", { line: number(line) }) : t("check.file")}${field && html` <code>${field}</code>`}</p>
    <p>${message}</p>
    ${remedy && html`<p class="muted">${remedy}</p>`}
    ${text && html`<pre tabindex="0" aria-label=${t("check.text", { line: number(line) })}><code>${text}</code></pre>`}
  </div></li>`;
}
