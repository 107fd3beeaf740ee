// What the models answer to the same held-out prompts, side by side; lines that are not as wanted are marked.
import { html, useMemo, useState } from "./html.js";
import { number } from "./format.js";
import { setQuery } from "./state.js";
import { t } from "./texts.js";
import { Icon } from "./icons.js";
import { Button, Check, Section } from "./parts.js";
import { Swatch } from "./compare_curves.js";

const AT_ONCE = 8;
const MOST_LINES = 400;

/** jobs [{letter, place, report}], onlyDifferent. */
export function Answers({ jobs, onlyDifferent }) {
  const [count, setCount] = useState(AT_ONCE);
  const every = useMemo(() => aligned(jobs), [jobs]);
  const fitting = onlyDifferent ? every.filter(differs) : every;
  const told = jobs.filter(({ report }) => report.examples?.length);
  return html`<${Section} title=${t("compare.answers")} actions=${every.length > 0 && jobs.length > 1 && html`<${Check}
      label=${t("compare.answers.differ")} checked=${onlyDifferent} onChange=${(on) => setQuery({ differ: on ? "1" : "" })} />`}>
    ${every.length === 0 && html`<p class="muted">${t("compare.answers.none")}</p>`}
    ${fitting.length > 0 && html`<p class="muted">${t("compare.answers.note")}</p>`}
    ${every.length > 0 && fitting.length === 0 && html`<p class="muted">${t("compare.answers.alike")}</p>`}
    ${fitting.slice(0, count).map((row, place) => html`<${Prompt} key=${row.key} row=${row} jobs=${told} place=${place + 1} of=${fitting.length} />`)}
    ${fitting.length > count && html`<${Button} onClick=${() => setCount(count + AT_ONCE)}>
      ${t("compare.answers.more", { count: number(fitting.length - count) })}<//>`}
  <//>`;
}

/** The prompts of all jobs, each once: {key, prompt, wanted, tuned: {job: answer}, bases: [{answer, letters}]}. */
function aligned(jobs) {
  const rows = new Map();
  for (const { name, letter, report } of jobs) {
    for (const { prompt, wanted, base, tuned } of report.examples ?? []) {
      const key = JSON.stringify([prompt, wanted]);
      if (!rows.has(key)) rows.set(key, { key, prompt, wanted, tuned: {}, bases: [] });
      const row = rows.get(key);
      row.tuned[name] = tuned;
      const same = row.bases.find(({ answer }) => answer === base);
      if (same) same.letters.push(letter);
      else row.bases.push({ answer: base, letters: [letter] });
    }
  }
  const asked = (row) => Object.keys(row.tuned).length;
  return [...rows.values()].sort((a, b) => asked(b) - asked(a));
}

const differs = ({ tuned }) => new Set(Object.values(tuned).map((answer) => answer.trim())).size > 1;

function Prompt({ row, jobs, place, of }) {
  return html`<article class="prompt"><h3>${t("compare.prompt", { place: number(place), count: number(of) })}</h3>
    <div class="asked">
      <${Text} label=${t("compare.prompt.text")} text=${row.prompt} />
      <${Text} label=${t("compare.wanted")} text=${row.wanted} />
    </div>
    <div class="answers">
      ${row.bases.map(({ answer, letters }) => html`<${Answer} key=${letters[0]} text=${answer} wanted=${row.wanted} tone="base"
        head=${html`<b>${t("compare.base")}</b>${row.bases.length > 1 && html` <span class="muted">${letters.join(", ")}</span>`}`}
        label=${t("compare.base.answer")} />`)}
      ${jobs.map((job) => html`<${Answer} key=${job.name} text=${row.tuned[job.name]} wanted=${row.wanted} tone="tuned"
        head=${html`<${Swatch} place=${job.place} letter=${job.letter} /><span class="name" title=${job.job.displayName}>${job.job.displayName}</span>`}
        label=${t("compare.answer", { letter: job.letter })} />`)}
    </div></article>`;
}

function Text({ label, text }) {
  return html`<figure class="text"><figcaption>${label}</figcaption>
    <pre tabindex="0" role="group" aria-label=${label} dir="auto">${text}</pre></figure>`;
}

function Answer({ head, label, text, wanted, tone }) {
  const lines = useMemo(() => (text == null ? [] : marked(text, wanted)), [text, wanted]);
  const exact = text != null && text.trim() === wanted.trim();
  return html`<figure class=${`text ${tone}`}><figcaption>${head}
      ${exact && html`<span class="mark"><${Icon} name="check" />${t("compare.as.wanted")}</span>`}</figcaption>
    ${text == null ? html`<p class="muted nothing">${t("compare.not.asked")}</p>`
      : text.trim() === "" ? html`<p class="muted nothing">${t("compare.empty.answer")}</p>`
      : html`<pre tabindex="0" role="group" aria-label=${label} dir="auto">${lines.map(({ line, same }, place) =>
        html`<${same ? "span" : "mark"} key=${place} class=${same ? "line" : "line other"}>${line}\n<//>`)}</pre>`}
  </figure>`;
}

/** The lines of an answer, and which of them stand in what was wanted, in the same order. */
function marked(text, wanted) {
  const lines = text.trim().split("\n");
  const aim = wanted.trim().split("\n");
  if (lines.length > MOST_LINES || aim.length > MOST_LINES) return lines.map((line) => ({ line, same: true }));
  const common = Array.from({ length: lines.length + 1 }, () => new Uint16Array(aim.length + 1));
  for (let a = lines.length - 1; a >= 0; a -= 1) {
    for (let b = aim.length - 1; b >= 0; b -= 1) {
      common[a][b] = lines[a] === aim[b] ? common[a + 1][b + 1] + 1 : Math.max(common[a + 1][b], common[a][b + 1]);
    }
  }
  let b = 0;
  return lines.map((line, a) => {
    while (b < aim.length && line !== aim[b] && common[a][b + 1] > common[a + 1][b]) b += 1;
    const same = b < aim.length && line === aim[b];
    if (same) b += 1;
    return { line, same };
  });
}
