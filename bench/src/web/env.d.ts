/** Set by serve.ts when the page is built. */
interface ImportMeta {
  readonly env: { readonly VITE_COMMIT: string; readonly VITE_VERSION: string };
}

/** Handed on to benchmark.js, never called. */
declare module 'lodash' {
  const lodash: object;
  export default lodash;
}
