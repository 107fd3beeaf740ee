// Small pictures of 16 x 16, drawn with the colour of the text beside them. They are never alone: a word stands by.
import { html } from "./html.js";

const PATHS = {
  jobs: "M2 13h3V7H2zM6.5 13h3V3h-3zM11 13h3V9.5h-3z",
  create: "M8 3v10M3 8h10",
  compare: "M2 12l4-5 3 3 5-7M2 14h12",
  datasets: "M8 2c3.3 0 5 .9 5 2s-1.700 2-5 2-5-.9-5-2 1.700-2 5-2zM3 4v8c0 1.100 1.700 2 5 2s5-.9 5-2V4M3 8c0 1.100 1.700 2 5 2s5-.9 5-2",
  models: "M8 1.500l5.500 3.200v6.600L8 14.500l-5.500-3.200V4.700zM2.500 4.700L8 8l5.500-3.300M8 8v6.500",
  try: "M2 3.500h12v7H8l-3 3v-3H2z",
  settings: "M8 5.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM8 1.500v2M8 12.500v2M1.500 8h2M12.500 8h2M3.400 3.400l1.400 1.400M11.200 11.200l1.400 1.400M3.400 12.600l1.400-1.400M11.200 4.800l1.400-1.400",
  menu: "M2 4h12M2 8h12M2 12h12",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3 8.500l3.500 3.500L13 4.500",
  cross: "M4.500 4.500l7 7M11.500 4.500l-7 7",
  dots: "M3.500 8h.01M8 8h.01M12.500 8h.01",
  copy: "M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3",
  search: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9zM10.300 10.300L14 14",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  pause: "M5.500 4v8M10.500 4v8",
  slash: "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM4.200 11.800l7.600-7.600",
  ring: "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11z",
  arc: "M8 2.500a5.500 5.500 0 0 1 5.500 5.500",
  warning: "M8 2l6.500 11.500h-13zM8 6.500v3.500M8 12h.01",
  info: "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM8 7.500v3.500M8 5.200h.01",
  upload: "M8 10.500V3M5 6l3-3 3 3M2.500 10.500v3h11v-3",
  download: "M8 3v7.500M5 7.500l3 3 3-3M2.500 10.500v3h11v-3",
  link: "M9.500 2.500h4v4M13.500 2.500L7.500 8.500M11.500 9v4.500h-9v-9H7",
  trash: "M3 4.500h10M6 4.500v-2h4v2M4.500 4.500l.6 9h5.800l.6-9",
  folder: "M1.500 3.500h4l1.500 2h7.500v7.500h-13z",
  file: "M3.500 1.500h6l3 3v10h-9zM9.500 1.500v3h3",
  play: "M4.500 2.500v11l8.500-5.500z",
  stop: "M4 4h8v8H4z",
};

/** Icon({name}): hidden from readers of the screen, since the word beside it says the same. */
export function Icon({ name, spin = false }) {
  return html`<svg class=${spin ? "icon spin" : "icon"} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>`;
}
