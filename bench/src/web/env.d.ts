/** Set by serve.ts when the page is built. */
interface ImportMeta {
  readonly env: { readonly VITE_COMMIT: string; readonly VITE_VERSION: string };
}
