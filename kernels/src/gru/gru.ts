import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import wasm from '../gen/gru.wasm.ts';
import wgsl from '../gen/gru.wgsl.ts';
import * as ref from './gru.ref.ts';

interface Shape {
  features: number;
  batch: number;
  /** Sum of the patients' visits. */
  visits: number;
  hidden: number;
}
const params = { features: 'u32', batch: 'u32', visits: 'u32', hidden: 'u32' } as const;

/** Largest hidden size that the per-thread scratch of the WebAssembly side holds. */
const MAX_HIDDEN = 1024;

/** Gate rows per work item of gru_bwd_params: gru.as.ts. */
const JB = 32;

/** Sizes of everything the entries bind. starts: batch + 1 offsets into the visits; its last element is `visits`. */
function sizes({ features, batch, visits, hidden }: Shape) {
  if (hidden > MAX_HIDDEN) throw new Error(`gru: hidden is ${hidden}; at most ${MAX_HIDDEN} fits the scratch of a thread`);
  const steps = features * visits * hidden;
  const rows = 3 * features * hidden;
  return { steps, rows, weight: rows * hidden, starts: batch + 1, x: features * visits };
}
const padded = (hidden: number) => 8 * ceilDiv(hidden, 8);
const blocks = ({ features, batch }: Shape) => features * ceilDiv(batch, 4);

/**
 * One GRU (1 -> hidden) per feature over packed visits, PyTorch gate order r, z, n. `gru_fwd` saves the gates; `gru_bwd` takes the
 * gradient of h from outside, adds what flows through time, and turns the gates into their gradients; `gru_bwd_params` adds the
 * gradients of weights and biases.
 */
export const gru = {
  name: 'gru',
  wgsl,
  wasm,
  ref,
  entries: {
    gru_fwd: {
      bindings: [f32('h', 'write'), f32('gates', 'write'), f32('x'), f32('w_ih'), f32('w_hh'), f32('b_ih'), f32('b_hh'), u32('starts')],
      params,
      size: (p: Shape) => {
        const { steps, rows, weight, starts, x } = sizes(p);
        return { h: steps, gates: 4 * steps, x, w_ih: rows, w_hh: weight, b_ih: rows, b_hh: rows, starts };
      },
      grid: (p: Shape) => grid1d(blocks(p)),
      scratch: ({ features, hidden }: Shape) => 3 * features * padded(hidden) * hidden,
      phases: [
        { export: 'gru_fwd_pack', work: ({ features, hidden }: Shape) => 3 * features * ceilDiv(hidden, 8) },
        { export: 'gru_fwd', work: blocks },
      ],
      flops: ({ features, visits, hidden }: Shape) => features * visits * hidden * (6 * hidden + 30),
      bytes: (p: Shape) => 4 * (5 * sizes(p).steps + sizes(p).x + sizes(p).weight + 3 * sizes(p).rows),
    },
    gru_bwd: {
      bindings: [f32('dh', 'read_write'), f32('gates', 'read_write'), f32('h'), f32('w_hh'), u32('starts')],
      params,
      size: (p: Shape) => {
        const { steps, weight, starts } = sizes(p);
        return { dh: steps, gates: 4 * steps, h: steps, w_hh: weight, starts };
      },
      grid: (p: Shape) => grid1d(blocks(p)),
      scratch: ({ features, hidden }: Shape) => 3 * features * padded(hidden) ** 2,
      phases: [
        { export: 'gru_bwd_pack', work: ({ features, hidden }: Shape) => features * ceilDiv(hidden, 8) },
        { export: 'gru_bwd', work: blocks },
      ],
      flops: ({ features, visits, hidden }: Shape) => features * visits * hidden * (6 * hidden + 20),
      bytes: (p: Shape) => 4 * (11 * sizes(p).steps + sizes(p).weight),
    },
    gru_bwd_params: {
      bindings: [
        f32('dw_hh', 'read_write'),
        f32('dw_ih', 'read_write'),
        f32('db_ih', 'read_write'),
        f32('db_hh', 'read_write'),
        f32('dgates'),
        f32('h'),
        f32('x'),
        u32('starts'),
      ],
      params,
      size: (p: Shape) => {
        const { steps, rows, weight, starts, x } = sizes(p);
        return { dw_hh: weight, dw_ih: rows, db_ih: rows, db_hh: rows, dgates: 4 * steps, h: steps, x, starts };
      },
      grid: ({ features, hidden }: Shape) => grid1d(features * ceilDiv(3 * hidden, 8) * ceilDiv(hidden, 64)),
      scratch: ({ features, visits, hidden }: Shape) => features * visits * padded(hidden),
      phases: [
        { export: 'gru_bwd_params_pack', work: ({ features, hidden }: Shape) => features * ceilDiv(hidden, 8) },
        { export: 'gru_bwd_params', work: ({ features, hidden }: Shape) => features * ceilDiv(3 * hidden, JB) },
      ],
      flops: ({ features, visits, hidden }: Shape) => features * visits * hidden * (6 * hidden + 12),
      bytes: (p: Shape) => 4 * (5 * sizes(p).steps + sizes(p).x + 2 * sizes(p).weight + 6 * sizes(p).rows),
    },
  },
} satisfies KernelSpec;
