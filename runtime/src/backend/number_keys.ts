/**
 * A map whose keys are short lists of whole numbers: for lookups at every dispatch, where joining the numbers into a string costs more than what is
 * found. Hashes pick a list, comparison decides. At `most` entries it starts afresh, so it cannot leak.
 */
export class NumberKeys<V> {
  readonly #most: number;
  readonly #lists = new Map<number, { readonly key: readonly number[]; readonly value: V }[]>();
  #size = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** The value kept under the first `n` numbers of `key`. */
  get(key: readonly number[], n: number): V | undefined {
    const list = this.#lists.get(hash(key, n));
    if (list) for (const entry of list) if (equal(entry.key, key, n)) return entry.value;
    return undefined;
  }

  /** Keeps a value under a copy of the first `n` numbers of `key`, which has none yet, and returns it. */
  keep(key: readonly number[], n: number, value: V): V {
    if (this.#size >= this.#most) this.clear();
    const at = hash(key, n);
    const entry = { key: key.slice(0, n), value };
    const list = this.#lists.get(at);
    if (list) list.push(entry);
    else this.#lists.set(at, [entry]);
    this.#size++;
    return value;
  }

  clear(): void {
    this.#lists.clear();
    this.#size = 0;
  }
}

/** FNV-1a over 32-bit words. */
function hash(key: readonly number[], n: number): number {
  let h = 0x811c9dc5 | 0;
  for (let i = 0; i < n; i++) h = Math.imul(h ^ key[i], 0x01000193);
  return h;
}

function equal(a: readonly number[], b: readonly number[], n: number): boolean {
  if (a.length !== n) return false;
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return false;
  return true;
}
