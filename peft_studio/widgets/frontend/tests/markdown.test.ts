// The cards of adapters, read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, pieces } from "../panels/publish/markdown";

const CARD = `---
base_model: "org/x"
tags: ["lora"]
---

# A \\<b\\>

A LoRA adapter
on \`org/x\`.

\`\`\`python
# no heading
print("| no table |")
\`\`\`

| what | value |
| --- | --- |
| a \\| b | \`c \\| d\` |

> **To do:** what it is for
> and not.
`;

test("a card becomes blocks", () => {
  assert.deepEqual(parse(CARD), [
    { kind: "facts", rows: [["base_model", "org/x"], ["tags", '["lora"]']] },
    { kind: "heading", level: 1, text: "A \\<b\\>" },
    { kind: "text", text: "A LoRA adapter on `org/x`." },
    { kind: "code", text: '# no heading\nprint("| no table |")' },
    { kind: "table", head: ["what", "value"], rows: [["a \\| b", "`c \\| d`"]] },
    { kind: "quote", text: "**To do:** what it is for and not." },
  ]);
});

test("what has no meaning here stays text", () => {
  const words = "<img src=x onerror=1> [x](javascript:1) ![y](http://z) *";
  assert.deepEqual(pieces(words), [{ kind: "text", text: words }]);
});

test("signs, code and bold", () => {
  assert.deepEqual(pieces("\\*\\*no\\*\\* **yes** ``a`b`` `c \\| d`"), [
    { kind: "text", text: "**no** " },
    { kind: "bold", text: "yes" },
    { kind: "text", text: " " },
    { kind: "code", text: "a`b" },
    { kind: "text", text: " " },
    { kind: "code", text: "c | d" },
  ]);
});

test("any text comes to an end", () => {
  for (const text of ["", "---", "---\na", "```", "|", ">", "`", "\\", "# ", "#", "**"]) assert.ok(Array.isArray(parse(text).concat(parse(`${text}\n${text}`))));
});
