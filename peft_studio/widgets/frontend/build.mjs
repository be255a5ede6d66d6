// Builds every panels/<name>.tsx into ../static/<name>.js and <name>.css: one whole module each, because a widget's module is loaded as a
// blob and cannot share chunks. It travels with every instance, so it is made small twice: esbuild joins, terser squeezes (4 % more).
// Needs `npm ci` before; hatch_build.py does both.
import { build } from "esbuild";
import { minify } from "terser";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { COMMON } from "./esbuild.mjs";
import { uplotLines } from "./uplot-lines.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = join(here, "..", "static");
const panels = readdirSync(join(here, "panels")).filter((name) => name.endsWith(".tsx"));

const { outputFiles } = await build({
  ...COMMON,
  entryPoints: panels.map((name) => join(here, "panels", name)),
  outdir: out,
  format: "esm",
  minifySyntax: true,
  minifyWhitespace: true,
  plugins: [uplotLines],
});
mkdirSync(out, { recursive: true });
for (const { path, text } of outputFiles) {
  const small = path.endsWith(".js") ? await squeeze(text) : text;
  writeFileSync(path, small);
  console.log(`${basename(path)}  ${Buffer.byteLength(small)} bytes, ${gzipSync(small, { level: 9 }).length} gzipped`);
}

async function squeeze(text) {
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 3, pure_getters: true, unsafe_arrows: true, inline: 1 }, format: { comments: false } });
  return code;
}
