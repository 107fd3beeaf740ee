// The public REST API, as a page calls it. Errors are ApiError: a message for people, and what is wrong by field.
import { useCallback, useEffect, useRef, useState } from "./html.js";
import { project, session, store } from "./state.js";

/** Whether the server answers; "lost" while requests do not get through. */
export const connection = store("there");

export class ApiError extends Error {
  constructor(message, { http = 0, status = "", violations = [] } = {}) {
    super(message);
    this.http = http;
    this.status = status;
    /** [{field, description}] */
    this.violations = violations;
  }
}

/** The parent of a project's resources in a region; "-" is every region. */
export const parent = (location = "-", of = project()) =>
  `/v1/projects/${encodeURIComponent(of)}/locations/${encodeURIComponent(location)}`;

/** Sends a request; the JSON of its answer. `raw`: the Response itself; `query`: what goes behind the `?`. */
export async function call(method, path, { body, query, signal, raw = false, headers = {} } = {}) {
  const answer = await send(method, withQuery(path, query), { body, signal, headers });
  if (!answer.ok) throw await errorOf(answer);
  if (raw) return answer;
  return answer.status === 204 ? {} : answer.json();
}

async function send(method, path, { body, signal, headers = {} }) {
  const said = { ...headers };
  if (method !== "GET") said["X-Tunesmith-Console"] = "1";
  let sent = body;
  if (body !== undefined && !(body instanceof Blob) && !(body instanceof ArrayBuffer)) {
    said["Content-Type"] ??= "application/json";
    sent = JSON.stringify(body);
  }
  try {
    const answer = await fetch(path, { method, body: sent, headers: said, signal, credentials: "same-origin" });
    connection.set("there");
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.set("lost");
    throw new ApiError("", { status: "UNREACHABLE" });
  }
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { body, ...options });
export const patch = (path, body, options) => call("PATCH", path, { body, ...options });
export const remove = (path, options) => call("DELETE", path, options);

/** Every item of a list, all pages of it, at most `most`. */
export async function all(path, field, { query = {}, most = 1000, signal } = {}) {
  const found = [];
  let pageToken = "";
  do {
    const page = await get(path, { query: { ...query, pageToken, pageSize: Math.min(most, 1000) }, signal });
    found.push(...(page[field] ?? []));
    pageToken = page.nextPageToken ?? "";
  } while (pageToken && found.length < most);
  return found;
}

async function errorOf(answer) {
  let said = {};
  try {
    const body = await answer.json();
    said = (Array.isArray(body) ? body[0] : body).error ?? {};
  } catch {
    // Not ours: a proxy's page, say. The status has to do.
  }
  if (answer.status === 401 && session.get()?.signedIn) session.set({ ...session.get(), signedIn: false, keysRequired: true, ended: true });
  const violations = (said.details ?? []).flatMap((detail) => detail.fieldViolations ?? []);
  const message = said.message || `${answer.status} ${answer.statusText}`;
  return new ApiError(message, { http: answer.status, status: said.status ?? "", violations });
}

function withQuery(path, query = {}) {
  const said = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  return said.size ? `${path}${path.includes("?") ? "&" : "?"}${said}` : path;
}

/**
 * What a path answers: {data, error, loading, reload}. Asked again every `every` ms while the page is seen; data stay
 * while an error lasts. `path` null: nothing is asked.
 */
export function useGet(path, { query, every = 0 } = {}) {
  const target = path && withQuery(path, query);
  const [state, setState] = useState({ data: null, error: null, loading: Boolean(path), of: target });
  const [turn, setTurn] = useState(0);
  const asked = useRef(null);
  useEffect(() => {
    if (!target) return undefined;
    let timer = 0;
    let ended = false;
    const again = () => {
      clearTimeout(timer);
      if (every && !ended) timer = setTimeout(ask, document.hidden ? Math.max(every, 15000) : every);
    };
    const ask = async () => {
      asked.current?.abort();
      const abort = new AbortController();
      asked.current = abort;
      try {
        const data = await get(target, { signal: abort.signal });
        if (!ended) setState({ data, error: null, loading: false, of: target });
      } catch (error) {
        if (error.name === "AbortError" || ended) return;
        setState((before) => ({ data: before.of === target ? before.data : null, error, loading: false, of: target }));
      }
      again();
    };
    const seen = () => {
      if (!document.hidden && every) ask();
    };
    setState((before) => (before.of === target ? before : { data: null, error: null, loading: true, of: target }));
    ask();
    document.addEventListener("visibilitychange", seen);
    return () => {
      ended = true;
      clearTimeout(timer);
      asked.current?.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [target, every, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { ...state, reload };
}

/**
 * Server-sent events of a path until close() is called: on(kind, data). The browser connects again by itself and says
 * where it was; when it gives up (a server that restarts answers with an error), we begin again after a pause.
 * `changed` hears "open", "waiting" or "ended".
 */
export function events(path, kinds, on, changed = () => {}) {
  let source = null;
  let timer = 0;
  let pause = 500;
  let last = "";
  let closed = false;
  const open = () => {
    source = new EventSource(withQuery(path, { after: last }));
    source.onopen = () => {
      pause = 500;
      changed("open");
    };
    source.onerror = () => {
      if (closed) return;
      changed("waiting");
      source.close();
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, 10000);
    };
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => {
        if (event.lastEventId) last = event.lastEventId;
        if (on(kind, JSON.parse(event.data)) === "stop") close();
      });
    }
  };
  const close = () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
    changed("ended");
  };
  open();
  return { close };
}

const FIRST_PIECE = 1 << 20;
const LONGEST_PIECE = 16 << 20;
const QUICK_MS = 400;

/**
 * Uploads a file into a bucket, in pieces; hears how far it is, 0 to 1. Resolves to its gs:// address. It goes on where it
 * was when the server was away, and after a reload when the same file is chosen again. `replace` false: an object that
 * is there already stays, and the error's `http` is 412.
 */
export async function upload(bucket, name, file, onProgress = () => {}, { signal, replace = true } = {}) {
  const place = `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`;
  const kept = `tunesmith.upload ${bucket}/${name} ${file.size} ${file.lastModified}`;
  let id = sessionStorage.getItem(kept);
  let from = id ? await arrived(place, id, file, signal).catch(() => null) : null;
  if (from === null) {
    id = await begin(place, name, file, { signal, replace });
    sessionStorage.setItem(kept, id);
    from = 0;
  }
  let length = FIRST_PIECE;
  let pause = 500;
  try {
    while (from !== "all") {
      onProgress(file.size ? from / file.size : 0);
      const started = performance.now();
      try {
        from = await sendPiece(place, id, file, from, Math.min(from + length, file.size), signal);
        if (performance.now() - started < QUICK_MS) length = Math.min(length * 2, LONGEST_PIECE);
        pause = 500;
      } catch (error) {
        if (error.name === "AbortError" || (error.http >= 400 && error.http < 500)) throw error;
        // The server is away, or was for a moment: it knows how much has arrived.
        await new Promise((resolve) => setTimeout(resolve, pause));
        pause = Math.min(pause * 2, 10000);
        from = await arrived(place, id, file, signal).catch(() => from);
      }
    }
  } catch (error) {
    sessionStorage.removeItem(kept);
    if (error.name === "AbortError") send("DELETE", withQuery(place, { upload_id: id }), {}).catch(() => {});
    throw error;
  }
  sessionStorage.removeItem(kept);
  onProgress(1);
  return `gs://${bucket}/${name}`;
}

async function begin(place, name, file, { signal, replace }) {
  const query = { uploadType: "resumable", name, ifGenerationMatch: replace ? null : "0" };
  const headers = {
    "X-Upload-Content-Type": file.type || "application/octet-stream", "X-Upload-Content-Length": String(file.size),
  };
  const answer = await call("POST", place, { query, body: {}, headers, signal, raw: true });
  return answer.headers.get("X-GUploader-UploadID");
}

/** How many bytes of an upload the server has, or "all". */
const arrived = (place, id, file, signal) => put(place, id, `bytes */${file.size}`, undefined, signal);

function sendPiece(place, id, file, from, until, signal) {
  const span = file.size ? `bytes ${from}-${until - 1}/${file.size}` : "bytes */0";
  return put(place, id, span, file.slice(from, until), signal);
}

async function put(place, id, span, body, signal) {
  const path = withQuery(place, { uploadType: "resumable", upload_id: id });
  const answer = await send("PUT", path, { body: body ?? new Blob([]), headers: { "Content-Range": span }, signal });
  if (answer.ok) return "all";
  if (answer.status !== 308) throw await errorOf(answer);
  const last = /-(\d+)$/.exec(answer.headers.get("Range") ?? "");
  return last ? Number(last[1]) + 1 : 0;
}
