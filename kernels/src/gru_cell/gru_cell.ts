import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/gru_cell.wasm.ts';
import wgsl from '../gen/gru_cell.wgsl.ts';
import * as ref from './gru_cell.ref.ts';

interface Shape {
  rows: number;
  hidden: number;
}
const params = { rows: 'u32', hidden: 'u32' } as const;

/** Elements per workgroup: gru_cell.wgsl. */
const WG = 64;
const grid = ({ rows, hidden }: Shape) => grid1d(ceilDiv(rows * hidden, WG));
const work = ({ rows }: Shape) => rows;

/** One step of a GRU, gate order r, z, n, from the two matrix products of its input and its state. Backward computes the gates again. */
export const gruCell = {
  name: 'gru_cell',
  wgsl,
  wasm,
  ref,
  entries: {
    gru_cell_fwd: {
      bindings: [f32('y', 'write'), f32('gi'), f32('gh'), f32('h')],
      params,
      size: ({ rows, hidden }: Shape) => ({ y: rows * hidden, gi: 3 * rows * hidden, gh: 3 * rows * hidden, h: rows * hidden }),
      grid,
      work,
      flops: ({ rows, hidden }: Shape) => 24 * rows * hidden,
      bytes: ({ rows, hidden }: Shape) => 32 * rows * hidden,
    },
    gru_cell_bwd: {
      bindings: [f32('dgi', 'write'), f32('dgh', 'write'), f32('dh', 'write'), f32('dy'), f32('gi'), f32('gh'), f32('h')],
      params,
      size: ({ rows, hidden }: Shape) => {
        const [one, three] = [rows * hidden, 3 * rows * hidden];
        return { dgi: three, dgh: three, dh: one, dy: one, gi: three, gh: three, h: one };
      },
      grid,
      work,
      flops: ({ rows, hidden }: Shape) => 37 * rows * hidden,
      bytes: ({ rows, hidden }: Shape) => 60 * rows * hidden,
    },
  },
} satisfies KernelSpec;
