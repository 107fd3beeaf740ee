// What the console keeps in the browser: the address, and a few choices. Everything else is the server's.
import { useEffect, useState } from "./html.js";

/** A value that components follow: get(), set(value), and useValue(store) in a component. */
export function store(initial) {
  let value = initial;
  const followers = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const follow of [...followers]) follow(value);
    },
    follow(follow) {
      followers.add(follow);
      return () => followers.delete(follow);
    },
  };
}

export function useValue(source) {
  const [value, setValue] = useState(source.get());
  useEffect(() => {
    setValue(source.get());
    return source.follow(setValue);
  }, [source]);
  return value;
}

function kept(name, fallback) {
  let initial = fallback;
  try {
    initial = localStorage.getItem(`tunesmith.${name}`) ?? fallback;
  } catch {
    // Private windows may have no storage: the choice then lasts as long as the page.
  }
  const choice = store(initial);
  choice.follow((value) => {
    try {
      localStorage.setItem(`tunesmith.${name}`, value);
    } catch {
      // As above.
    }
  });
  return choice;
}

export const language = kept("language", navigator.language?.toLowerCase().startsWith("ko") ? "ko" : "en");
export const theme = kept("theme", "system");
export const lastProject = kept("project", "local");
/** What GET /v1/session says; null until it has. */
export const session = store(null);

theme.follow((chosen) => {
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
});

// The address.

function read() {
  const { pathname, search } = window.location;
  const parts = pathname.split("/").filter(Boolean).map(decodeURIComponent);
  return { path: pathname, parts, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** Where we are: {path, parts, query}. */
export const route = store(read());
window.addEventListener("popstate", () => route.set(read()));

/** The address of a page; the project goes along, and what is empty is left out. */
export function address(path, query = {}) {
  const all = { project: project(), ...query };
  const said = new URLSearchParams(Object.entries(all).filter(([, value]) => value !== "" && value != null));
  return said.size ? `${path}?${said}` : path;
}

export function go(path, query = {}, { replace = false } = {}) {
  const target = path.includes("?") ? path : address(path, query);
  window.history[replace ? "replaceState" : "pushState"](null, "", target);
  route.set(read());
  if (!replace) window.scrollTo(0, 0);
}

/** Changes what stands behind the `?`, in place: a choice that a reload keeps and "back" does not count. */
export function setQuery(changes) {
  const { path, query } = read();
  go(path, { ...query, ...changes }, { replace: true });
}

/** The project whose things are shown. */
export function project() {
  return read().query.project || session.get()?.principal?.project || lastProject.get();
}
