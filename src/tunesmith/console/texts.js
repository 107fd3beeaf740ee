// t("jobs.title") in the chosen language. All texts are in texts.en.js and texts.ko.js, and nowhere else.
import english from "./texts.en.js";
import { language } from "./state.js";

const loaded = { en: english };

/** Loads the language, and has the page drawn anew in it. */
export async function speak(chosen) {
  if (!loaded[chosen]) loaded[chosen] = (await import(`./texts.${chosen}.js`)).default;
  language.set(chosen);
  document.documentElement.lang = chosen;
}

/** The text of a key; {name} in it is the value of that name. */
export function t(key, values = {}) {
  const text = (loaded[language.get()] ?? english)[key];
  if (text === undefined) throw new Error(`there is no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Whether there is such a text: for words that come from the server, such as states. */
export const has = (key) => key in english;
