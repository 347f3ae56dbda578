/** f64 oracle of one GRU step; formulas in gru_cell.wgsl. */
type Buffers = Record<string, Float64Array>;
interface Shape {
  rows: number;
  hidden: number;
}

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

export function gru_cell_fwd({ y, gi, gh, h }: Buffers, { rows, hidden }: Shape): void {
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < hidden; j++) {
      const at = row * 3 * hidden + j;
      const r = sigmoid(gi[at] + gh[at]);
      const z = sigmoid(gi[at + hidden] + gh[at + hidden]);
      const n = Math.tanh(gi[at + 2 * hidden] + r * gh[at + 2 * hidden]);
      y[row * hidden + j] = (1 - z) * n + z * h[row * hidden + j];
    }
  }
}

export function gru_cell_bwd({ dgi, dgh, dh, dy, gi, gh, h }: Buffers, { rows, hidden }: Shape): void {
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < hidden; j++) {
      const at = row * 3 * hidden + j;
      const i = row * hidden + j;
      const hn = gh[at + 2 * hidden];
      const r = sigmoid(gi[at] + gh[at]);
      const z = sigmoid(gi[at + hidden] + gh[at + hidden]);
      const n = Math.tanh(gi[at + 2 * hidden] + r * hn);
      const dn = dy[i] * (1 - z) * (1 - n * n);
      const dz = dy[i] * (h[i] - n) * z * (1 - z);
      const dr = dn * hn * r * (1 - r);
      dgi[at] = dr;
      dgh[at] = dr;
      dgi[at + hidden] = dz;
      dgh[at + hidden] = dz;
      dgi[at + 2 * hidden] = dn;
      dgh[at + 2 * hidden] = dn * r;
      dh[i] = dy[i] * z;
    }
  }
}
