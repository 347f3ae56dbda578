/** f64 oracle of rows by index; the formulas are in embedding.wgsl. */
interface Fwd {
  y: Float64Array;
  weight: Float64Array;
  ids: ArrayLike<number>;
}
interface Bwd {
  dweight: Float64Array;
  dy: Float64Array;
  order: ArrayLike<number>;
  unique_ids: ArrayLike<number>;
  row_start: ArrayLike<number>;
}

export function embedding_fwd({ y, weight, ids }: Fwd, { tokens, dim, vocab }: { tokens: number; dim: number; vocab: number }): void {
  for (let t = 0; t < tokens; t++) {
    for (let c = 0; c < dim; c++) y[t * dim + c] = ids[t] < vocab ? weight[ids[t] * dim + c] : 0;
  }
}

export function embedding_bwd(
  { dweight, dy, order, unique_ids, row_start }: Bwd,
  { num_unique, dim, vocab }: { num_unique: number; dim: number; vocab: number },
): void {
  for (let u = 0; u < num_unique; u++) {
    if (unique_ids[u] >= vocab) continue;
    for (let i = row_start[u]; i < row_start[u + 1]; i++) {
      for (let c = 0; c < dim; c++) dweight[unique_ids[u] * dim + c] += dy[order[i] * dim + c];
    }
  }
}
