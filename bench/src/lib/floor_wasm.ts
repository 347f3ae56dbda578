/**
 * The WebAssembly side of the floor kernels, assembled by hand: 200 bytes do not need a compiler, and what runs is what is written here.
 * Opcodes: https://webassembly.github.io/spec/core/appendix/index-instructions.html
 */

/** Chains of multiply-adds: enough to hide a latency of 4 cycles on 2 ports, and with a and b they fit 16 registers. */
export const CHAINS = 12;
/** Bytes per work item of floor_copy. */
export const COPY_BLOCK = 16_384;

const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
/** Signed: what i32.const takes. Positive numbers only. */
const sleb = (n: number): number[] => (n < 64 ? [n] : [(n & 127) | 128, ...sleb(n >>> 7)]);
const vec = (...items: number[][]): number[] => [...leb(items.length), ...items.flat()];
const sized = (bytes: number[]): number[] => [...leb(bytes.length), ...bytes];
const text = (s: string): number[] => sized([...s].map((c) => c.charCodeAt(0)));
const section = (id: number, body: number[]): number[] => [id, ...sized(body)];

const [I32, F32, V128] = [0x7f, 0x7d, 0x7b];
const get = (i: number) => [0x20, i];
const set = (i: number) => [0x21, i];
const i32 = (n: number) => [0x41, ...sleb(n)];
const ADD = 0x6a;
const MUL = 0x6c;
const LT_U = 0x49;
const END = 0x0b;
const LOOP = [0x03, 0x40];
const BR_IF_0 = [0x0d, 0];
const SPLAT = [0xfd, 0x13];
const F32X4_ADD = [0xfd, ...leb(0xe4)];
const F32X4_MUL = [0xfd, ...leb(0xe6)];
const RELAXED_MADD = [0xfd, ...leb(0x105)];
const V128_STORE = [0xfd, 0x0b, 4, 0];
const V128_LOAD = [0xfd, 0x00, 4, 0];
const f32 = (n: number) => [0x43, ...new Uint8Array(Float32Array.of(n).buffer)];

/** (y, x, n, lo, hi): 16-byte moves from lo * COPY_BLOCK up to hi * COPY_BLOCK bytes, four per turn; n bounds nothing: it is a multiple. */
function copyBody(): number[] {
  const [y, x, , lo, hi] = [0, 1, 2, 3, 4];
  const move = (offset: number) => [...get(y), ...get(x), ...V128_LOAD.slice(0, 3), offset, ...V128_STORE.slice(0, 3), offset];
  const at = (pointer: number, item: number) => [...get(pointer), ...get(item), ...i32(COPY_BLOCK), MUL, ADD];
  const end = 5;
  return [
    ...vec([1, I32]),
    ...[...at(x, hi), ...set(end)],
    ...[...at(y, lo), ...set(y)],
    ...[...at(x, lo), ...set(x)],
    ...LOOP,
    ...[0, 16, 32, 48].flatMap(move),
    ...[...get(y), ...i32(64), ADD, ...set(y)],
    ...[...get(x), ...i32(64), ADD, 0x22, x, ...get(end), LT_U, ...BR_IF_0],
    END,
    END,
  ];
}

/** (y, items, iters, a, b, lo, hi). */
function fmaBody(relaxed: boolean): number[] {
  const [y, iters, a, b, lo, hi] = [0, 2, 3, 4, 5, 6];
  const n = 7;
  const [va, vb] = [8, 9];
  const chain = (k: number) => 10 + k;
  const each = (f: (k: number) => number[]) => Array.from({ length: CHAINS }, (_, k) => f(k)).flat();
  const madd = (k: number) =>
    relaxed
      ? [...get(chain(k)), ...get(va), ...get(vb), ...RELAXED_MADD, ...set(chain(k))]
      : [...get(chain(k)), ...get(va), ...F32X4_MUL, ...get(vb), ...F32X4_ADD, ...set(chain(k))];
  return [
    ...vec([1, I32], [2 + CHAINS, V128]),
    ...[...get(a), ...SPLAT, ...set(va), ...get(b), ...SPLAT, ...set(vb)],
    ...LOOP,
    ...each((k) => [...f32(k + 1), ...SPLAT, ...set(chain(k))]),
    ...[...get(iters), ...set(n)],
    ...LOOP,
    ...each(madd),
    ...[...get(n), ...i32(1), 0x6b, 0x22, n, ...BR_IF_0],
    END,
    ...[...get(y), ...get(lo), ...i32(16), MUL, ADD],
    ...each((k) => [...get(chain(k)), ...(k > 0 ? F32X4_ADD : [])]),
    ...V128_STORE,
    ...[...get(lo), ...i32(1), ADD, 0x22, lo, ...get(hi), LT_U, ...BR_IF_0],
    END,
    END,
  ];
}

/** Base64 of the module; `relaxed` fuses the multiply-adds. */
export function floorWasm(relaxed: boolean): string {
  const types = vec(
    [0x60, ...vec(...[I32, I32, I32, I32, I32].map((t) => [t])), 0],
    [0x60, ...vec(...[I32, I32, I32, F32, F32, I32, I32].map((t) => [t])), 0],
  );
  const sharedMemory = [0x02, 0x03, ...leb(1), ...leb(65_536)];
  const exported = (name: string, index: number) => [...text(name), 0, index];
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, types),
    ...section(2, vec([...text('env'), ...text('memory'), ...sharedMemory])),
    ...section(3, vec([0], [1])),
    ...section(7, vec(exported('floor_copy', 0), exported('floor_fma', 1))),
    ...section(10, vec(sized(copyBody()), sized(fmaBody(relaxed)))),
  ];
  return btoa(String.fromCharCode(...bytes));
}
