// The keys of the server: who has one, making one (its secret is shown once), and ending one.
import { html, useMemo, useState } from "./html.js";
import { get, post, remove, useGet } from "./api.js";
import { number } from "./format.js";
import { session, useValue } from "./state.js";
import { t } from "./texts.js";
import { Icon } from "./icons.js";
import {
  Button, Check, CodeBlock, Confirm, Dialog, Empty, Loaded, Note, Problem, Radios, Search, Table, TextField, Time, toast,
} from "./parts.js";

const LIVE_MS = 10000;
const ROLES = ["viewer", "tuner", "admin"];
const FEW = 8;

/** Who is signed in may change with every key that is made or ended. */
const whoNow = () => get("/v1/session").then(session.set);

export function Keys() {
  const { role, project } = useValue(session).principal;
  if (role !== "admin") return html`<${Note} kind="warning">${t("settings.keys.denied", { role: t(`settings.role.${role}`) })}<//>`;
  return html`<${List} project=${project} />`;
}

function List({ project }) {
  const who = useValue(session);
  const list = useGet("/v1/keys", { every: LIVE_MS });
  const [ended, setEnded] = useState(false);
  const [text, setText] = useState("");
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState(null);
  const columns = useMemo(() => columnsOf(setRevoking), []);
  const make = html`<${Button} kind="primary" icon="create" onClick=${() => setMaking(true)}>${t("settings.keys.create")}<//>`;
  return html`<${Loaded} of=${list} lines=${5}>${({ keys }) => {
    const inForce = keys.filter(({ revokeTime }) => !revokeTime);
    const wanted = text.trim().toLowerCase();
    const shown = (ended ? keys : inForce).filter(({ name, project: of = "" }) => `${name} ${of}`.toLowerCase().includes(wanted));
    return html`
      ${!who.keysRequired && html`<${Note} kind="warning">${t("settings.keys.open")}<//>`}
      ${keys.length === 0 ? html`<${Empty} title=${t("settings.keys.none")} text=${t("settings.keys.none.text")}>${make}<//>` : html`
        <div class="tools">${keys.length > FEW && html`<${Search} value=${text} onInput=${setText} label=${t("settings.keys.search")} />`}
          <${Check} label=${t("settings.keys.revoked.too", { count: number(keys.length - inForce.length) })} checked=${ended} onChange=${setEnded} />
          <span class="push">${make}</span></div>
        ${shown.length > 0 ? html`<${Table} label=${t("settings.tab.keys")} columns=${columns} rows=${shown} keyOf=${({ id }) => id} cardHeight=${168} />`
          : html`<p class="muted">${t(wanted ? "settings.keys.none.found" : "settings.keys.none.in.force")}</p>`}`}
      ${revoking && html`<${Revoke} key_=${revoking} last=${inForce.length === 1} onClose=${() => setRevoking(null)} onDone=${list.reload} />`}`;
  }}<//>
  ${making && html`<${NewKey} project=${project} first=${!who.keysRequired} onMade=${list.reload} onClose=${() => setMaking(false)} />`}`;
}

function columnsOf(onRevoke) {
  return [
    { id: "name", label: t("settings.key.name"), main: true, width: "minmax(140px, 2fr)", render: ({ name }) => html`<b class="name" title=${name}>${name}</b>` },
    { id: "role", label: t("settings.key.role"), render: ({ role }) => t(`settings.role.${role}`) },
    { id: "project", label: t("settings.key.project"), width: "minmax(100px, 1.4fr)", render: ({ project }) => project ?? t("settings.every.project") },
    { id: "created", label: t("settings.key.created"), align: "end", render: ({ createTime }) => html`<${Time} at=${createTime} />` },
    { id: "used", label: t("settings.key.used"), align: "end",
      render: ({ lastUseTime }) => (lastUseTime ? html`<${Time} at=${lastUseTime} />` : html`<span class="muted">${t("settings.key.never")}</span>`) },
    { id: "end", label: t("settings.key.state"), align: "end", width: "minmax(110px, 1fr)", render: (key) => (key.revokeTime
      ? html`<span class="state calm"><${Icon} name="slash" /><span>${t("settings.key.revoked")}</span></span>`
      : html`<${Button} small kind="danger" aria-label=${t("settings.key.revoke.of", { name: key.name })} onClick=${() => onRevoke(key)}>
        ${t("settings.key.revoke")}<//>`) },
  ];
}

function Revoke({ key_: key, last, onClose, onDone }) {
  const who = useValue(session);
  const mine = who.keysRequired && key.name === who.principal.name;
  const text = html`${t("settings.key.revoke.text")} ${last ? t("settings.key.revoke.last") : mine ? t("settings.key.revoke.mine") : ""}`;
  return html`<${Confirm} title=${t("settings.key.revoke.title", { name: key.name })} text=${text} action=${t("settings.key.revoke")}
    onClose=${onClose} onYes=${async () => {
      await remove(`/v1/keys/${encodeURIComponent(key.id)}`);
      toast(t("settings.key.revoke.done", { name: key.name }));
      await whoNow();
      onDone();
    }} />`;
}

function NewKey({ project, first, onMade, onClose }) {
  const [asked, setAsked] = useState({ name: "", role: first ? "admin" : "tuner", project: project ?? "" });
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const change = (name) => (value) => setAsked((before) => ({ ...before, [name]: value }));
  const create = async (event) => {
    event.preventDefault();
    if (!asked.name.trim() || busy) return;
    setBusy(true);
    setError(null);
    try {
      setMade(await post("/v1/keys", { name: asked.name.trim(), role: asked.role, project: asked.project.trim() || null }));
      await whoNow();
      onMade();
    } catch (wrong) {
      setError(wrong);
    }
    setBusy(false);
  };
  if (made) return html`<${Secret} made=${made} onClose=${onClose} />`;
  const wrong = (field) => error?.violations.find((one) => one.field === field)?.description;
  return html`<${Dialog} title=${t("settings.keys.create")} onClose=${onClose} actions=${html`
      <${Button} onClick=${onClose}>${t("part.cancel")}<//>
      <${Button} kind="primary" busy=${busy} disabled=${!asked.name.trim()} onClick=${create}>${t("settings.keys.make")}<//>`}>
    <form class="new-key" onSubmit=${create}>
      ${first && html`<${Note} kind="warning">${t("settings.keys.first")}<//>`}
      <${TextField} label=${t("settings.key.name")} hint=${t("settings.key.name.hint")} value=${asked.name} onInput=${change("name")}
        maxlength="128" required autofocus error=${wrong("name")} />
      <${Radios} label=${t("settings.key.role")} value=${asked.role} onChange=${change("role")} options=${ROLES.map((role) => ({
        value: role, label: t(`settings.role.${role}`), hint: t(`settings.role.${role}.text`) }))} />
      <${TextField} label=${t("settings.key.project")} optional hint=${t(project ? "settings.key.project.own" : "settings.key.project.hint")}
        value=${asked.project} onInput=${change("project")} disabled=${Boolean(project)} spellcheck=${false} error=${wrong("project")} />
      ${error && html`<${Problem} error=${error} />`}
      <button type="submit" hidden></button>
    </form>
  <//>`;
}

/** The secret, this once: closing by the way (Escape, a click beside it) asks first. */
function Secret({ made, onClose }) {
  const [warned, setWarned] = useState(false);
  return html`<${Dialog} title=${t("settings.key.made", { name: made.key.name })} onClose=${() => (warned ? onClose() : setWarned(true))}
    actions=${html`<${Button} kind="primary" onClick=${onClose}>${t("settings.key.kept")}<//>`}>
    <p>${t("settings.key.once")}</p>
    <${CodeBlock} wrap label=${t("settings.key.secret")} code=${made.secret} />
    <p class="muted">${t("settings.key.use")} <code>${t("settings.key.header")}</code></p>
    ${warned && html`<div role="alert"><${Note} kind="warning">${t("settings.key.warned")}<//></div>`}
  <//>`;
}
