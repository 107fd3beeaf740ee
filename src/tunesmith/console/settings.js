// How the console looks, who may use the server, what its pools do, and what is installed.
import { html } from "./html.js";
import { remove, useGet } from "./api.js";
import { bytes, number, percent } from "./format.js";
import { Icon } from "./icons.js";
import { language, session, setQuery, theme, useValue } from "./state.js";
import { speak, t } from "./texts.js";
import { Button, Facts, Loaded, Note, PageHead, Problem, Progress, Radios, Section, StateMark, Table, Tabs } from "./parts.js";
import { Keys } from "./settings_keys.js";
import { Capacity, shortBase } from "./settings_capacity.js";

const TABS = { general: General, keys: Keys, capacity: Capacity, installation: Installation };
const LIVE_MS = 5000;
const LITTLE_DISK = 0.1;

export default function Settings({ route }) {
  const chosen = route.query.tab in TABS ? route.query.tab : "general";
  const Tab = TABS[chosen];
  return html`<${PageHead} title=${t("settings.title")} />
    <${Tabs} label=${t("settings.title")} current=${chosen} onChange=${(tab) => setQuery({ tab })}
      tabs=${Object.keys(TABS).map((id) => ({ id, label: t(`settings.tab.${id}`) }))} />
    <div role="tabpanel" aria-label=${t(`settings.tab.${chosen}`)}><${Tab} /></div>`;
}

function General() {
  const who = useValue(session);
  const leave = async () => {
    await remove("/v1/session");
    window.location.assign("/");
  };
  return html`<div class="preferences">
    <${Radios} label=${t("settings.language")} value=${useValue(language)} onChange=${speak} options=${[
      { value: "en", label: "English" }, { value: "ko", label: "한국어" }]} />
    <${Radios} label=${t("settings.theme")} value=${useValue(theme)} onChange=${theme.set} options=${[
      { value: "system", label: t("theme.system"), hint: t("settings.theme.system") },
      { value: "light", label: t("theme.light") }, { value: "dark", label: t("theme.dark") }]} />
    </div>
    <p class="muted under">${t("settings.kept.here")}</p>
    <${Section} title=${t("settings.who")} actions=${who.keysRequired && html`<${Button} onClick=${leave}>${t("frame.leave")}<//>`}>
      ${who.keysRequired ? html`<${Facts} rows=${[
        [t("settings.key.name"), who.principal.name], [t("settings.key.role"), t(`settings.role.${who.principal.role}`)],
        [t("settings.key.project"), who.principal.project ?? t("settings.every.project")]]} />`
        : html`<p>${t("settings.open")}</p>`}
    <//>`;
}

function Installation() {
  const installation = useGet("/v1/installation", { every: 4 * LIVE_MS });
  const ready = useGet("/readyz", { every: LIVE_MS });
  return html`
    ${ready.error && ready.error.status !== "UNREACHABLE" && html`<${Problem} error=${ready.error} title=${t("settings.not.ready")} />`}
    <${Loaded} of=${installation} lines=${8}>${(data) => html`
      <${Facts} rows=${[
        [t("settings.health"), html`<${StateMark} state=${ready.error ? "FAILED" : "READY"} />`],
        [t("settings.version"), data.version], [t("settings.python"), data.python],
        [t("settings.database"), data.database === "postgresql" ? "PostgreSQL" : "SQLite"],
        [t("settings.serving"), data.serving],
        [t("settings.cores"), number(data.machine.cores)], [t("settings.memory"), bytes(data.machine.memoryBytes)],
        [t("settings.api"), html`<a href="/openapi.json">openapi.json</a> \u00b7 <a href="/metrics">metrics</a>`]]} />
      <${Disk} disk=${data.disk} />
      <${Models} models=${data.baseModels} />
      <${Names} names=${data.referenceModels} />`}<//>`;
}

function Disk({ disk }) {
  const free = disk.freeBytes / disk.totalBytes;
  return html`<${Section} title=${t("settings.disk")}>
    <${Progress} value=${1 - free} label=${t("settings.disk")} />
    <p class="muted under">${t("settings.disk.free", { free: bytes(disk.freeBytes), all: bytes(disk.totalBytes), share: percent(free, 0) })}</p>
    ${free < LITTLE_DISK && html`<${Note} kind="warning">${t("settings.disk.little")}<//>`}
  <//>`;
}

function Models({ models }) {
  const columns = [
    { id: "name", label: t("settings.model"), main: true, width: "minmax(200px, 2fr)", render: ({ name }) => html`<b>${name}</b>` },
    { id: "available", label: t("settings.model.state"), width: "minmax(160px, 1fr)", render: ({ available }) => html`<span
      class=${available ? "state good" : "state calm"}><${Icon} name=${available ? "check" : "ring"} />
      <span>${t(available ? "settings.model.here" : "settings.model.away")}</span></span>` },
    { id: "parameters", label: t("settings.model.parameters"), align: "end", render: ({ parameters }) => millions(parameters) },
    { id: "context", label: t("settings.model.context"), align: "end", render: ({ contextTokens }) => number(contextTokens) },
    { id: "fim", label: t("settings.model.fim"), hide: true, render: ({ fim }) => t(fim ? "settings.yes" : "settings.no") },
    { id: "licence", label: t("settings.model.licence"), width: "minmax(120px, 1.2fr)", render: ({ licence }) => licence },
  ];
  return html`<${Section} title=${t("settings.models")}>
    <${Table} label=${t("settings.models")} columns=${columns} rows=${models} keyOf=${({ name }) => name} cardHeight=${116} />
  <//>`;
}

const millions = (count) => (count >= 1e9 ? t("settings.billion", { count: number(count / 1e9, 1) }) : t("settings.million", { count: number(count / 1e6) }));

function Names({ names }) {
  const columns = [
    { id: "name", label: t("settings.name"), main: true, width: "minmax(200px, 2fr)", render: ({ name }) => html`<b>${name}</b>` },
    { id: "kind", label: t("settings.name.kind"), render: ({ kind }) => t(`settings.kind.${kind}`) },
    { id: "base", label: t("settings.name.base"), width: "minmax(200px, 2fr)", render: ({ baseModel }) => html`<span title=${baseModel}>${shortBase(baseModel)}</span>` },
  ];
  return html`<${Section} title=${t("settings.names")}><p class="muted">${t("settings.names.text")}</p>
    <${Table} label=${t("settings.names")} columns=${columns} rows=${names} keyOf=${({ name }) => name} cardHeight=${84} />
  <//>`;
}
