// Signing in with a key, where the server has keys. Whoever was at work comes back to the same page.
import { html, useEffect, useRef, useState } from "./html.js";
import { post } from "./api.js";
import { language, session, theme, useValue } from "./state.js";
import { speak, t } from "./texts.js";
import { Button, Check, Note, PageHead, Problem, Select, TextField } from "./parts.js";

export default function SignIn() {
  const who = useValue(session);
  const [key, setKey] = useState("");
  const [shown, setShown] = useState(false);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const form = useRef(null);
  const toKey = () => form.current?.querySelector("input")?.focus();
  useEffect(toKey, []);
  const enter = async (event) => {
    event.preventDefault();
    if (!key.trim() || busy) return;
    setBusy(true);
    setError(null);
    try {
      session.set(await post("/v1/session", { key: key.trim() }));
    } catch (wrong) {
      setError(wrong);
      setBusy(false);
      toKey();
    }
  };
  return html`<main class="alone sign-in"><div class="card">
    <p class="brand"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" />
      <path d="M10 6v9a6 6 0 0 0 12 0V6M16 21v6" /></svg><span>Tunesmith</span></p>
    <${PageHead} title=${t("signin.title")} note=${t("signin.note")} />
    ${who?.ended && html`<${Note} kind="warning">${t("signin.ended")}<//>`}
    <form onSubmit=${enter} ref=${form}>
      <${TextField} label=${t("signin.key")} type=${shown ? "text" : "password"} value=${key} onInput=${setKey} autocomplete="off"
        autocapitalize="none" spellcheck=${false} required placeholder="tsk_..." hint=${t("signin.hint")} />
      <${Check} label=${t("signin.show")} checked=${shown} onChange=${setShown} />
      ${error && html`<${Problem} error=${error} title=${error.http === 401 ? t("signin.wrong") : undefined} />`}
      <${Button} kind="primary" type="submit" busy=${busy} disabled=${!key.trim()}>${t("signin.enter")}<//>
    </form></div>
    <div class="choices">
      <label><span class="hidden">${t("frame.language")}</span><${Select} value=${language.get()} onChange=${speak}
        options=${[{ value: "en", label: "English" }, { value: "ko", label: "한국어" }]} /></label>
      <label><span class="hidden">${t("frame.theme")}</span><${Select} value=${useValue(theme)} onChange=${theme.set} options=${[
        { value: "system", label: t("theme.system") }, { value: "light", label: t("theme.light") }, { value: "dark", label: t("theme.dark") }]} /></label>
    </div>
  </main>`;
}
