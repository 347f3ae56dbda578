// Writes dist/wgsl/<stem>.wgsl: the text that the spec carries, with everything it uses appended, for those who want WGSL without JavaScript.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';

const dist = new URL('../dist/', import.meta.url);
mkdirSync(new URL('wgsl/', dist), { recursive: true });
for (const name of readdirSync(new URL('gen/', dist)).filter((f) => f.endsWith('.wgsl.js'))) {
  const { default: text } = await import(new URL(`gen/${name}`, dist).href);
  writeFileSync(new URL(`wgsl/${name.slice(0, -'.js'.length)}`, dist), text);
}
