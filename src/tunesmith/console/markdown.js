// A model's card and other Markdown as elements of the page. What is written in it is text: no HTML of it is taken, and
// a link leads only to http and https. Headings, paragraphs, lists, tables, code, quotes; no images.
import { html } from "./html.js";
import { CodeBlock } from "./parts.js";

const FRONT = /^---\n[\s\S]*?\n---\n/;
const BLOCK = /^(#{1,6} |```|[-*] |\d+\. |\||> )/;
const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*|\[[^\]\n]+\]\([^)\s]+\))/;

/** Markdown({text, below}): a heading of level 1 becomes one of level `below`. */
export function Markdown({ text, below = 3 }) {
  const lines = text.replace(/\r\n?/g, "\n").replace(FRONT, "").split("\n");
  const blocks = [];
  let at = 0;
  const take = (fits) => {
    const from = at;
    while (at < lines.length && fits(lines[at])) at += 1;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    if (/^(- |\* )/.test(line)) blocks.push(list(take((one) => /^([-*] | {2,}\S)/.test(one)), /^[-*] /, "ul"));
    else if (/^\d+\. /.test(line)) blocks.push(list(take((one) => /^(\d+\. | {2,}\S)/.test(one)), /^\d+\. /, "ol"));
    else if (line.startsWith("|")) blocks.push(table(take((one) => one.startsWith("|"))));
    else if (line.startsWith("> ")) {
      blocks.push(html`<blockquote>${inline(take((one) => one.startsWith("> ")).map((one) => one.slice(2)).join(" "))}</blockquote>`);
    } else {
      at += 1;
      if (line.startsWith("```")) {
        blocks.push(html`<${CodeBlock} label=${line.slice(3).trim() || "text"} code=${take((one) => !one.startsWith("```")).join("\n")} />`);
        at += 1;
      } else if (/^#{1,6} /.test(line)) blocks.push(heading(line, below));
      else if (line.trim()) {
        blocks.push(html`<p>${inline([line, ...take((one) => one.trim() && !BLOCK.test(one))].join(" "))}</p>`);
      }
    }
  }
  return html`<div class="markdown">${blocks}</div>`;
}

function heading(line, below) {
  const level = Math.min(6, line.indexOf(" ") + below - 1);
  return html`<${`h${level}`}>${inline(line.slice(line.indexOf(" ") + 1))}<//>`;
}

function list(lines, mark, kind) {
  const items = [];
  for (const line of lines) {
    if (mark.test(line)) items.push(line.replace(mark, ""));
    else items.push(`${items.pop() ?? ""} ${line.trim()}`);
  }
  return html`<${kind}>${items.map((item, place) => html`<li key=${place}>${inline(item)}</li>`)}<//>`;
}

function table(lines) {
  const rows = lines.filter((line) => !/^\|[\s:|-]+\|?$/.test(line)).map((line) =>
    line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim()));
  const [head, ...body] = rows;
  if (!head) return null;
  return html`<div class="scroll" tabindex="0"><table><thead><tr>${head.map((cell, place) => html`<th key=${place} scope="col">${inline(cell)}</th>`)}</tr></thead>
    <tbody>${body.map((cells, row) => html`<tr key=${row}>${cells.map((cell, place) => html`<td key=${place}>${inline(cell)}</td>`)}</tr>`)}</tbody></table></div>`;
}

function inline(text) {
  return text.split(INLINE).map((part) => {
    if (/^`[^`]+`$/.test(part)) return html`<code>${part.slice(1, -1)}</code>`;
    if (/^\*\*[^*]+\*\*$/.test(part)) return html`<strong>${part.slice(2, -2)}</strong>`;
    const link = /^\[([^\]]+)\]\((https?:\/\/[^)\s]+)\)$/.exec(part);
    return link ? html`<a href=${link[2]} rel="noreferrer noopener" target="_blank">${link[1]}</a>` : part;
  });
}
