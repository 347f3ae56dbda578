/** Oracle of concat and split; see concat.wgsl. */
type Buffers = Record<string, Float64Array>;
interface Shape {
  na: number;
  nb: number;
}

export function concat({ y, a, b }: Buffers, { na, nb }: Shape): void {
  for (let i = 0; i < na; i++) y[i] = a[i];
  for (let i = 0; i < nb; i++) y[na + i] = b[i];
}

export function split({ da, db, dy }: Buffers, { na, nb }: Shape): void {
  for (let i = 0; i < na; i++) da[i] = dy[i];
  for (let i = 0; i < nb; i++) db[i] = dy[na + i];
}
