// Signing in with a key, where the server has keys.
import { html, useState } from "./html.js";
import { post } from "./api.js";
import { language, session } from "./state.js";
import { speak, t } from "./texts.js";
import { Button, PageHead, Problem, Select, TextField } from "./parts.js";

export default function SignIn() {
  const [key, setKey] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const enter = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      session.set(await post("/v1/session", { key: key.trim() }));
    } catch (wrong) {
      setError(wrong);
      setBusy(false);
    }
  };
  return html`<main class="alone sign-in">
    <${PageHead} title=${t("signin.title")} note=${t("signin.note")} />
    <form onSubmit=${enter}>
      <${TextField} label=${t("signin.key")} type="password" value=${key} onInput=${setKey} autocomplete="off" spellcheck=${false}
        autofocus required placeholder="tsk_..." hint=${t("signin.hint")} />
      ${error && html`<${Problem} error=${error} title=${error.http === 401 ? t("signin.wrong") : undefined} />`}
      <${Button} kind="primary" type="submit" busy=${busy} disabled=${!key.trim()}>${t("signin.enter")}<//>
    </form>
    <label class="language"><span class="hidden">${t("frame.language")}</span><${Select} value=${language.get()} onChange=${speak}
      options=${[{ value: "en", label: "English" }, { value: "ko", label: "한국어" }]} /></label>
  </main>`;
}
