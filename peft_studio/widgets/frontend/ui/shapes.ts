// Icons that only some panels need: each module carries those it names, and no others.
import type { Shape } from "./icon";

const ring = (x: number, y: number, r: number): string => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;

export const BEST: Shape = ["M8 2.4l1.7 3.5 3.8.5-2.8 2.6.7 3.8L8 11l-3.4 1.8.7-3.8L2.5 6.4l3.8-.5z"];
export const COMPARE: Shape = ["M2.5 3H7v10H2.5zM9.5 3H14v10H9.5z"];
export const LIST: Shape = ["M5.5 4H14M5.5 8H14M5.5 12H14", [4, 8, 12].map((y) => ring(2.6, y, 1)).join("")];
export const LOGS: Shape = ["M3 4l2.5 2L3 8M7.5 8.5H13M3 12h10"];
export const PLUS: Shape = ["M8 3v10M3 8h10"];
export const RETRY: Shape = ["M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3"];
export const SEARCH: Shape = [`${ring(7, 7, 4.2)}M10.2 10.2l3.3 3.3`];
export const TRASH: Shape = ["M3 4.5h10M6.3 4.3V2.5h3.4v1.8M4.3 4.6l.6 8.9h6.2l.6-8.9"];
