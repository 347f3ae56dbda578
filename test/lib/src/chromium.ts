import { createRequire } from 'node:module';

/** Path of the Chromium that the runtime brings for its software adapter, unpacked on first use. */
export async function chromiumPath(): Promise<string> {
  const require = createRequire(new URL('../../../runtime/package.json', import.meta.url));
  const { default: bundled } = (await import(require.resolve('@sparticuz/chromium'))) as { default: { executablePath(): Promise<string> } };
  return bundled.executablePath();
}
