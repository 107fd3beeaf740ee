// A place to drop a file on, or to choose one; it goes into a bucket while one watches.
import { html, useEffect, useRef, useState } from "./html.js";
import { get, post, upload } from "./api.js";
import { Icon } from "./icons.js";
import { bytes, percent } from "./format.js";
import { project } from "./state.js";
import { t } from "./texts.js";
import { Button, Note, Problem, Progress } from "./parts.js";
import { placeOf } from "./bucket_dialog.js";

/**
 * UploadBox: folder (gs://bucket/folder; the bucket is made if the project has none of that name), accept, hint,
 * onDone(uri, file). Nothing that is there already is replaced unless one says so.
 */
export function UploadBox({ folder, accept = ".jsonl,.json,.gz", hint, onDone }) {
  const [over, setOver] = useState(false);
  const [sending, setSending] = useState(null);
  const [error, setError] = useState(null);
  const [taken, setTaken] = useState(null);
  const input = useRef(null);
  const abort = useRef(null);
  useEffect(() => () => abort.current?.abort(), []);

  const send = async (file, name = file.name, replace = false) => {
    const { bucket, name: below } = placeOf(folder);
    const object = [below.replace(/\/+$/, ""), name].filter(Boolean).join("/");
    abort.current = new AbortController();
    const { signal } = abort.current;
    setError(null);
    setTaken(null);
    setSending({ file, share: 0 });
    try {
      await madeBucket(bucket, signal);
      const uri = await upload(bucket, object, file, (share) => setSending({ file, share }), { signal, replace });
      onDone(uri, file);
    } catch (wrong) {
      if (wrong.http === 412) setTaken({ file, uri: `gs://${bucket}/${object}` });
      else if (wrong.name !== "AbortError") setError(wrong);
    }
    setSending(null);
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file) send(file);
  };
  const pick = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) send(file);
  };
  if (sending) {
    return html`<div class="upload-box busy"><p><${Icon} name="file" /> <span>${sending.file.name}</span>
        <span class="muted">${bytes(sending.file.size)} · ${percent(sending.share, 0)}</span></p>
      <${Progress} value=${sending.share} label=${t("upload.progress", { name: sending.file.name })} />
      <div><${Button} small onClick=${() => abort.current.abort()}>${t("part.cancel")}<//></div></div>`;
  }
  return html`<div class=${`upload-box${over ? " over" : ""}`} onDrop=${drop} onDragLeave=${() => setOver(false)}
      onDragOver=${(event) => {
        event.preventDefault();
        setOver(true);
      }}>
      <${Icon} name="upload" />
      <p>${t("upload.drop")} <button type="button" class="link" onClick=${() => input.current.click()}>${t("upload.choose")}</button></p>
      ${hint && html`<p class="hint">${hint}</p>`}
      <input ref=${input} type="file" accept=${accept} hidden onChange=${pick} aria-label=${t("upload.choose")} />
    </div>
    ${taken && html`<${Note} kind="warning"><p>${t("upload.taken", { uri: taken.uri })}</p><div class="actions">
      <${Button} small onClick=${() => send(taken.file, beside(taken.file.name))}>${t("upload.both", { name: beside(taken.file.name) })}<//>
      <${Button} small onClick=${() => send(taken.file, taken.file.name, true)}>${t("upload.replace")}<//>
      <${Button} small kind="quiet" onClick=${() => {
        onDone(taken.uri, taken.file);
      }}>${t("upload.use")}<//></div><//>`}
    ${error && html`<${Problem} error=${error} title=${t("upload.failed")} />`}`;
}

/** train.jsonl.gz -> train-20260131-142233.jsonl.gz: a name that is free. */
function beside(name) {
  const dot = name.indexOf(".", 1);
  const stamp = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
  return dot < 0 ? `${name}-${stamp}` : `${name.slice(0, dot)}-${stamp}${name.slice(dot)}`;
}

async function madeBucket(bucket, signal) {
  const { items = [] } = await get("/storage/v1/b", { query: { project: project(), prefix: bucket }, signal });
  if (!items.some(({ name }) => name === bucket)) await post("/storage/v1/b", { name: bucket }, { query: { project: project() }, signal });
}
