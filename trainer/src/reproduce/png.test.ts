/** Plan: a figure as PNG is twice as wide and high, the same bytes again, grey alone, and its words are in it. */
import { Resvg } from '@resvg/resvg-wasm';
import { expect, it } from 'vitest';
import { svgToPng } from './png.ts';

const figure = (words: string): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40" font-family="system-ui, sans-serif" font-size="13">` +
  `<rect width="120" height="40" fill="#fff"/><text x="4" y="24" fill="#111" font-weight="600">${words}</text></svg>`;

it('is twice the size, the same bytes again, and holds the words though the machine has none of the fonts', async () => {
  const png = await svgToPng(figure('AUROC'));
  expect([...png.subarray(0, 4)]).toEqual([0x89, 0x50, 0x4e, 0x47]);
  const header = new DataView(png.buffer, png.byteOffset);
  expect([header.getUint32(16), header.getUint32(20)]).toEqual([240, 80]);
  expect(await svgToPng(figure('AUROC'))).toEqual(png);
  expect(await svgToPng(figure('AUPRC'))).not.toEqual(png);
  // Without a font resvg leaves words out.
  const bare = new Resvg(figure('AUROC'), { fitTo: { mode: 'zoom', value: 2 } }).render().pixels;
  expect(bare.every((value) => value === 255)).toBe(true);
  expect(png).not.toEqual(new Resvg(figure('AUROC'), { fitTo: { mode: 'zoom', value: 2 } }).render().asPng());
});
