// The frame around every page: who is here, which project, where to go; and the page that the address names.
import { html, render, useEffect, useRef, useState } from "./html.js";
import { connection, get, remove, useGet } from "./api.js";
import { Icon } from "./icons.js";
import { go, language, lastProject, project, route, session, theme, useValue } from "./state.js";
import { speak, t } from "./texts.js";
import { Button, Empty, IconButton, Link, PageHead, Problem, Select, Skeleton, Toasts } from "./parts.js";

// First part of the address -> the page's module; `item`: the page of one thing, when the address goes on.
const PAGES = {
  jobs: { page: () => import("./jobs.js"), item: () => import("./job.js") },
  create: { page: () => import("./create.js") },
  compare: { page: () => import("./compare.js") },
  datasets: { page: () => import("./datasets.js"), item: () => import("./dataset.js") },
  models: { page: () => import("./models.js"), item: () => import("./model.js") },
  try: { page: () => import("./try.js") },
  settings: { page: () => import("./settings.js") },
};
const NAVIGATION = Object.keys(PAGES);

function App() {
  const here = useValue(route);
  const who = useValue(session);
  useValue(language);
  const [error, setError] = useState(null);
  const ask = () => get("/v1/session").then(session.set, setError);
  useEffect(() => void ask(), []);
  useEffect(() => {
    if (here.path === "/") go("/jobs", here.query, { replace: true });
    if (here.query.project) lastProject.set(here.query.project);
  }, [here.path, here.query.project]);
  if (!who) {
    const again = () => {
      setError(null);
      ask();
    };
    return html`<main class="alone">${error ? html`<${Problem} error=${error} retry=${again} />` : html`<${Skeleton} />`}</main>`;
  }
  if (!who.signedIn) return html`<${Page} load=${() => import("./signin.js")} name="signin" /><${Toasts} />`;
  return html`<${Frame} here=${here} who=${who} /><${Toasts} />`;
}

function Frame({ here, who }) {
  const [open, setOpen] = useState(false);
  const main = useRef(null);
  const [first, ...rest] = here.parts;
  useEffect(() => setOpen(false), [here.path]);
  useEffect(() => {
    const close = (event) => event.key === "Escape" && setOpen(false);
    document.addEventListener("keydown", close);
    return () => document.removeEventListener("keydown", close);
  }, []);
  const skip = (event) => {
    event.preventDefault();
    main.current.focus();
  };
  return html`<div class=${`frame${open ? " open" : ""}`}>
    <a class="skip" href="#main" onClick=${skip}>${t("frame.skip")}</a>
    <header class="bar">
      <${IconButton} icon=${open ? "close" : "menu"} label=${t(open ? "frame.close" : "frame.menu")} aria-expanded=${open}
        onClick=${() => setOpen(!open)} />
      <${Link} to="/jobs" class="brand"><${Brand} /><//>
    </header>
    <nav class="side" aria-label=${t("frame.navigation")}>
      <${Link} to="/jobs" class="brand"><${Brand} /><//>
      <${Projects} who=${who} />
      <ul>${NAVIGATION.map((name) => html`<li key=${name}><${Link} to=${`/${name}`}
        aria-current=${first === name ? "page" : undefined}><${Icon} name=${name} /><span>${t(`nav.${name}`)}</span><//></li>`)}</ul>
      <${Choices} who=${who} />
    </nav>
    <div class="veil" onClick=${() => setOpen(false)}></div>
    <main id="main" tabindex="-1" ref=${main}>
      <${Connection} />
      <${Shown} first=${first} rest=${rest} here=${here} />
    </main>
  </div>`;
}

function Brand() {
  return html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" /><path d="M10 6v9a6 6 0 0 0 12 0V6M16 21v6" />
  </svg><span>Tunesmith</span>`;
}

function Shown({ first, rest, here }) {
  if (first === undefined) return html`<${Skeleton} />`;
  const found = PAGES[first];
  const load = rest.length ? found?.item : found?.page;
  if (!load) {
    return html`<${PageHead} title=${t("frame.nowhere")} />
      <${Empty} title=${t("frame.nowhere")} text=${t("frame.nowhere.text", { path: here.path })}>
        <${Button} to="/jobs" kind="primary">${t("nav.jobs")}<//><//>`;
  }
  return html`<${Page} key=${`${project()} ${rest.length ? here.path : first}`} load=${load} name=${`${first}/${rest.length}`} route=${here} />`;
}

const modules = new Map();

/** A page, whose module is loaded when it is first shown. */
function Page({ load, name, route: here }) {
  const [, setTurn] = useState(0);
  const [error, setError] = useState(null);
  useEffect(() => {
    if (modules.has(name)) return;
    load().then((module) => {
      modules.set(name, module.default);
      setTurn((turn) => turn + 1);
    }, (wrong) => {
      // Another version of the server has other files: the page is loaded anew, once.
      if (sessionStorage.getItem("tunesmith.reloaded") === here?.path) setError(wrong);
      else {
        sessionStorage.setItem("tunesmith.reloaded", here?.path ?? "");
        window.location.reload();
      }
    });
  }, [name]);
  const Found = modules.get(name);
  useEffect(() => {
    if (Found) sessionStorage.removeItem("tunesmith.reloaded");
  }, [Found]);
  if (error) return html`<${Problem} error=${error} retry=${() => window.location.reload()} />`;
  return Found ? html`<${Found} route=${here} />` : html`<${Skeleton} lines=${6} />`;
}

function Connection() {
  const state = useValue(connection);
  if (state === "there") return null;
  return html`<div class="lost" role="status"><${Icon} name="arc" spin />${t("error.reconnecting")}</div>`;
}

function Projects({ who }) {
  const own = who.principal?.project;
  const { data } = useGet(own ? null : "/v1/projects", { every: 60000 });
  const current = project();
  if (own) return html`<p class="project"><span class="muted">${t("frame.project")}</span> ${own}</p>`;
  const known = new Set([...(data?.projects ?? []).map(({ projectId }) => projectId), current]);
  const options = [...known].sort().map((name) => ({ value: name, label: name }));
  return html`<label class="project"><span class="muted">${t("frame.project")}</span>
    <${Select} value=${current} options=${options} onChange=${(name) => {
      lastProject.set(name);
      go(`/${route.get().parts[0] ?? "jobs"}`, { project: name });
    }} /></label>`;
}

function Choices({ who }) {
  const spoken = useValue(language);
  const colours = useValue(theme);
  const leave = async () => {
    await remove("/v1/session");
    window.location.assign("/");
  };
  return html`<div class="choices">
    <label><span class="hidden">${t("frame.language")}</span><${Select} value=${spoken} onChange=${speak} options=${[
      { value: "en", label: "English" }, { value: "ko", label: "한국어" }]} /></label>
    <label><span class="hidden">${t("frame.theme")}</span><${Select} value=${colours} onChange=${theme.set} options=${[
      { value: "system", label: t("theme.system") }, { value: "light", label: t("theme.light") },
      { value: "dark", label: t("theme.dark") }]} /></label>
    ${who.keysRequired && html`<p class="who"><span title=${who.principal.role}>${who.principal.name}</span>
      <${Button} small kind="quiet" onClick=${leave}>${t("frame.leave")}<//></p>`}
    <p class="version muted">${who.version}</p>
  </div>`;
}

const chosen = language.get();
speak(chosen).catch(() => speak("en")).then(() => render(html`<${App} />`, document.getElementById("app")));
