// The part of Markdown that our model cards are written in, as plain values. What it does not know stays text: no link, no picture, no HTML.

export type Block =
  | { kind: "facts"; rows: [string, string][] }
  | { kind: "heading"; level: number; text: string }
  | { kind: "code"; text: string }
  | { kind: "table"; head: string[]; rows: string[][] }
  | { kind: "quote" | "text"; text: string };

export type Piece = { kind: "text" | "code" | "bold"; text: string };

const PIECE = /\\([!-/:-@[-`{-~])|(`+)([^`]|[^`].*?[^`])\2(?!`)|\*\*([^*]+)\*\*/g;
const LONGEST = 4000; // characters of a line in which signs are looked for: no card of ours has longer ones
const BREAKS = /^(#{1,6} |```|\||>|$)/; // what ends a paragraph

export function parse(card: string): Block[] {
  const lines = card.split("\n");
  const found: Block[] = [];
  let at = 0;
  const take = (goes: (line: string) => boolean): string[] => {
    const from = at;
    while (at < lines.length && goes(lines[at]!)) at++;
    return lines.slice(from, at);
  };
  if (lines[0] === "---") {
    at = 1;
    found.push({ kind: "facts", rows: take((line) => line !== "---").map(fact) });
    at++;
  }
  while (at < lines.length) {
    const line = lines[at]!;
    const heading = /^(#{1,6}) (.*)$/.exec(line);
    if (heading) {
      found.push({ kind: "heading", level: heading[1]!.length, text: heading[2]! });
      at++;
    } else if (line.startsWith("```")) {
      at++;
      found.push({ kind: "code", text: take((one) => !one.startsWith("```")).join("\n") });
      at++;
    } else if (line.startsWith("|")) {
      const [head, , ...rows] = take((one) => one.startsWith("|")).map(cells);
      found.push({ kind: "table", head: head!, rows });
    } else if (line.startsWith(">")) {
      found.push({ kind: "quote", text: take((one) => one.startsWith(">")).map((one) => one.replace(/^> ?/, "")).join(" ") });
    } else if (line === "") at++;
    else found.push({ kind: "text", text: take((one) => !BREAKS.test(one)).join(" ") });
  }
  return found;
}

/** Text, code and bold within a line; a backslash takes the meaning from the sign behind it. */
export function pieces(line: string): Piece[] {
  if (line.length > LONGEST) return [{ kind: "text", text: line }];
  const found: Piece[] = [];
  const say = (kind: Piece["kind"], text: string): void => {
    const last = found.at(-1);
    if (kind === "text" && last?.kind === "text") last.text += text;
    else if (text) found.push({ kind, text });
  };
  let at = 0;
  for (const match of line.matchAll(PIECE)) {
    const [whole, sign, , code, bold] = match;
    say("text", line.slice(at, match.index));
    if (sign !== undefined) say("text", sign);
    else if (code !== undefined) say("code", code.replaceAll("\\|", "|").replace(/^ (.*[^ ].*) $/, "$1"));
    else say("bold", bold!);
    at = match.index + whole.length;
  }
  say("text", line.slice(at));
  return found;
}

const cells = (row: string): string[] => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim());

function fact(line: string): [string, string] {
  const [, name = line, value = ""] = /^(\w+): (.*)$/.exec(line) ?? [];
  return [name, value.replace(/^"(.*)"$/, "$1")];
}
