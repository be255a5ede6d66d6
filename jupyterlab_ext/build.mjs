// Builds the JupyterLab extension into labextensions/peft-studio: a prebuilt extension is a folder with a package.json, a schema and one script.
// It shares the panels' esbuild, Preact and kit; what Lab itself provides (@jupyterlab/*, @lumino/*) stays outside and is asked of Lab when it runs.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { COMMON } from "../peft_studio/widgets/frontend/esbuild.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const panels = join(here, "..", "peft_studio", "widgets", "frontend");
const out = join(here, "labextensions", "peft-studio");
const { build } = createRequire(join(panels, "package.json"))("esbuild");

const { outputFiles, metafile } = await build({
  ...COMMON,
  entryPoints: [join(here, "src", "index.ts")],
  metafile: true,
  format: "cjs",
  external: ["@jupyterlab/*", "@lumino/*"],
  nodePaths: [join(panels, "node_modules")],
  alias: { "@kit": panels },
  loader: { ".css": "text" },
  minify: true,
});
const names = Object.values(metafile.inputs).flatMap(({ imports }) => imports.filter((one) => one.external).map((one) => one.path));
const script = readFileSync(join(here, "container.js"), "utf8")
  .replace(/^\/\/.*\n/gm, "")
  .replace("NAMES", () => JSON.stringify([...new Set(names)].sort()))
  .replace("BUNDLE", () => `((module, require) => {\n${outputFiles[0].text}})`);
const entry = `remoteEntry.${createHash("sha256").update(script).digest("hex").slice(0, 16)}.js`;

rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "static"), { recursive: true });
mkdirSync(join(out, "schemas", "peft-studio"), { recursive: true });
writeFileSync(join(out, "static", entry), script);
copyFileSync(join(here, "schema", "plugin.json"), join(out, "schemas", "peft-studio", "plugin.json"));
const about = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
about.jupyterlab._build = { load: `static/${entry}`, extension: "./extension" };
// What `jupyter labextension list` shows beside the name, and how `pip uninstall` is found for it.
writeFileSync(join(out, "install.json"), JSON.stringify({ packageManager: "python", packageName: "peft-studio" }, null, 2));
writeFileSync(join(out, "package.json"), JSON.stringify(about, null, 2)); // last: the build is done when it is there
console.log(`${basename(entry)}  ${Buffer.byteLength(script)} bytes, ${gzipSync(script, { level: 9 }).length} gzipped`);
