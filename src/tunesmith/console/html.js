// The view library, as every file here uses it: html`<p>${text}</p>` makes elements; whatever is put into it is text.
import htm from "./vendor/htm.js";
import { h, render, Fragment, createContext } from "./vendor/preact.js";

export { render, Fragment, createContext };
export {
  useCallback, useContext, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "./vendor/hooks.js";
export const html = htm.bind(h);
