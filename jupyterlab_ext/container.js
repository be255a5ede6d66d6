// The module-federation container that JupyterLab's bootstrap loads: `init` is handed everything that Lab shares, `get` gives our module.
// BUNDLE is esbuild's CommonJS output and NAMES the shared packages that it requires; build.mjs puts both in.
(window._JUPYTERLAB ??= {})["peft-studio"] = (() => {
  let scope = {};

  const isNewer = (a, b) => a.localeCompare(b, "en", { numeric: true }) > 0;

  /** Of one package, the version in use, else the newest: the choice that Lab's own modules make. */
  const load = async (name) => {
    const versions = Object.entries(scope[name] ?? {});
    if (!versions.length) throw new Error(`PEFT Studio's sidebar needs ${name}, which this front end does not share.`);
    const [, chosen] = versions.reduce((best, one) => (!best[1].loaded && (one[1].loaded || isNewer(one[0], best[0])) ? one : best));
    return [name, (await chosen.get())()];
  };

  return {
    init(given) {
      scope = given;
    },
    async get() {
      const shared = Object.fromEntries(await Promise.all(NAMES.map(load)));
      const module = { exports: {} };
      BUNDLE(module, (name) => shared[name]);
      return () => module.exports;
    },
  };
})();
