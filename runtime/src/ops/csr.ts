/** Which of `ids` are equal, as rows of a sparse matrix: scatter-adds without atomics, each sum in one fixed order. */
export interface Csr {
  /** Positions in `ids`, grouped by id, ascending inside a group. */
  readonly order: Uint32Array;
  /** The ids that occur, ascending. */
  readonly uniqueIds: Uint32Array;
  /** (unique + 1): group u is order[rowStart[u] .. rowStart[u + 1]). */
  readonly rowStart: Uint32Array;
}

export function groupIds(ids: Uint32Array): Csr {
  const order = Uint32Array.from(ids.keys()).sort((a, b) => ids[a] - ids[b] || a - b);
  const uniqueIds: number[] = [];
  const rowStart: number[] = [];
  order.forEach((at, i) => {
    if (i > 0 && ids[at] === ids[order[i - 1]]) return;
    uniqueIds.push(ids[at]);
    rowStart.push(i);
  });
  rowStart.push(ids.length);
  return { order, uniqueIds: Uint32Array.from(uniqueIds), rowStart: Uint32Array.from(rowStart) };
}

/** The groups whose id lies in [start, start + rows), by their distance from `start`; positions stay those of all ids. */
export function groupsWithin({ order, uniqueIds, rowStart }: Csr, start: number, rows: number): Csr {
  const at = (id: number) => {
    const found = uniqueIds.findIndex((u) => u >= id);
    return found < 0 ? uniqueIds.length : found;
  };
  const [from, to] = [at(start), at(start + rows)];
  return { order, uniqueIds: uniqueIds.subarray(from, to).map((id) => id - start), rowStart: rowStart.subarray(from, to + 1) };
}
