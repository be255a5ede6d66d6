// Icons that the Run panel does not wear. A panel that does imports this file; the others do not carry it.
import { addIcons, ring } from "./icon";

const MORE = {
  best: ["M8 2.4l1.7 3.5 3.8.5-2.8 2.6.7 3.8L8 11l-3.4 1.8.7-3.8L2.5 6.4l3.8-.5z"],
  chat: ["M2.5 3.5h11v7.5H7.5L4.5 13.5V11h-2z"],
  chart: ["M2 2.5V13.5H14M4 5c2 5 4 5.5 9.5 5.8"],
  compare: ["M2.5 3H7v10H2.5zM9.5 3H14v10H9.5z"],
  download: ["M8 2.5v8M5 7.8l3 2.9 3-2.9M2.5 10.5v3h11v-3"],
  file: ["M4 2h5.5L12 4.5V14H4zM9.5 2v2.7H12"],
  folder: ["M2 4h4.5L8 5.5h6V13H2z"],
  globe: [ring(8, 8, 6) + "M2 8h12M8 2c-4 4-4 8 0 12M8 2c4 4 4 8 0 12"],
  key: [ring(5, 10.5, 2.6) + "M7 8.6L13 2.8M10.6 5.2l2 2"],
  list: ["M5.5 4H14M5.5 8H14M5.5 12H14", ring(2.6, 4, 1) + ring(2.6, 8, 1) + ring(2.6, 12, 1)],
  lock: ["M4.5 7h7a1 1 0 0 1 1 1v4.5a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1zM5.5 7V5a2.5 2.5 0 0 1 5 0v2"],
  logs: ["M3 4l2.5 2L3 8M7.5 8.5H13M3 12h10"],
  offline: ["M6.2 4.3a3.8 3.8 0 0 1 5.6 2.8 2.7 2.7 0 0 1 1.4 4.6M10.5 12.5h-6a3 3 0 0 1 0-6M2.5 2.5l11 11"],
  more: ["", ring(3.5, 8, 1.2) + ring(8, 8, 1.2) + ring(12.5, 8, 1.2)],
  plus: ["M8 3v10M3 8h10"],
  reset: ["M3 6.5h6.5a3.3 3.3 0 0 1 0 6.6H6M5.6 4L3 6.5 5.6 9"],
  retry: ["M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3"],
  rack: ["M3.5 2.5h9a1 1 0 0 1 1 1V6a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1V3.5a1 1 0 0 1 1-1zM3.5 9h9a1 1 0 0 1 1 1v2.5a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1z", ring(5, 4.8, 0.8) + ring(5, 11.3, 0.8)],
  search: [ring(7, 7, 4.2) + "M10.2 10.2l3.3 3.3"],
  send: ["M2.5 8h11M9.5 4l4 4-4 4"],
  tick: ["M3.5 8.5l3 3 6-7"],
  trash: ["M3 4.5h10M6.3 4.3V2.5h3.4v1.8M4.3 4.6l.6 8.9h6.2l.6-8.9"],
  upload: ["M8 10.5v-8M5 5.2l3-2.9 3 2.9M2.5 10.5v3h11v-3"],
} as const;

export type MoreIcon = keyof typeof MORE;

addIcons(MORE);
