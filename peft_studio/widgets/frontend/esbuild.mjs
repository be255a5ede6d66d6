// What the panels and the JupyterLab extension have in common when esbuild joins them.
export const COMMON = {
  write: false,
  bundle: true,
  charset: "utf8",
  target: ["es2022", "chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  logLevel: "warning",
};
