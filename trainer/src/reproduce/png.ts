/** SVG to PNG by resvg, with DejaVu Sans: the same pixels on every machine, whatever fonts it has. (Node edge.) */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { initWasm, Resvg } from '@resvg/resvg-wasm';

/** Pixels per CSS pixel: 192 dpi on paper. */
const SCALE = 2;
const { resolve } = createRequire(import.meta.url);
const FONTS = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'];

let fonts: Promise<Uint8Array[]> | undefined;

/** Compiles resvg and reads the fonts, once a process. */
async function ready(): Promise<Uint8Array[]> {
  await initWasm(await readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')));
  return Promise.all(FONTS.map((name) => readFile(resolve(`dejavu-fonts-ttf/ttf/${name}`))));
}

/** The bytes of a PNG of twice the SVG's width and height. */
export async function svgToPng(svg: string): Promise<Uint8Array> {
  fonts ??= ready();
  const image = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: SCALE },
    // Families that the SVG names and no buffer holds fall back to this one.
    font: { fontBuffers: await fonts, defaultFontFamily: 'DejaVu Sans' },
  });
  try {
    const pixels = image.render();
    const png = pixels.asPng().slice();
    pixels.free();
    return png;
  } finally {
    image.free();
  }
}
