/**
 * Paged KV cache: fixed-size blocks of token slots, shared between sequences by reference counts. A fork shares all blocks of its
 * parent; the first write into a shared block copies it (PagedAttention, Kwon et al. 2023, arXiv 2309.06180).
 */
import { attentionDecode as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { TransformerConfig } from '../model/config.ts';
import type { PagedKv } from '../model/transformer.ts';
import type { Tensor } from '../tensor.ts';
import { EngineError } from './engine_error.ts';

/** The blocks of one sequence, in order of positions. */
export type BlockList = number[];

/** Block `index` of a sequence is its own from now on, and was `source`. */
interface Copy {
  readonly blocks: BlockList;
  readonly index: number;
  readonly source: number;
}

/** Blocks that exist at first, so that small runs grow once or never. */
export const FIRST_BLOCKS = 256;

/**
 * Blocks of a prompt and of `branches` sequences that go on from it, or from one another, by `tokens` each, at the most: a branch writes
 * into a copy of the block that it begins in.
 */
export const branchedBlocks = (blockSize: number, promptLength: number, branches: number, tokens: number): number =>
  Math.ceil(promptLength / blockSize) + branches * (Math.ceil(tokens / blockSize) + 1);

export class KvCache implements PagedKv {
  readonly blockSize: number;
  /** Blocks that fit into the limit. */
  readonly maxBlocks: number;
  keys: Tensor[] = [];
  values: Tensor[] = [];
  readonly #ctx: Context;
  readonly #config: TransformerConfig;
  #references: Uint32Array = new Uint32Array(0);
  #free: number[] = [];
  /** Blocks ever handed out; those beyond need memory first. */
  #used = 0;
  #copies: Copy[] = [];

  constructor(ctx: Context, config: TransformerConfig, { blockSize, maxBytes }: { blockSize: number; maxBytes: number }) {
    this.#ctx = ctx;
    this.#config = config;
    this.blockSize = blockSize;
    const perLayer = Math.min(maxBytes / (2 * config.num_hidden_layers), ctx.backend.info.maxBindingBytes);
    this.maxBlocks = Math.floor(perLayer / (4 * this.#blockElements));
  }

  /** Blocks that memory is held for. */
  get numBlocks(): number {
    return this.#references.length;
  }

  /** Blocks ever in use at the same time. */
  get used(): number {
    return this.#used;
  }

  /** Blocks that can still be handed out before the limit. */
  get available(): number {
    return this.#free.length + this.maxBlocks - this.#used;
  }

  get #blockElements(): number {
    return this.blockSize * this.#config.num_key_value_heads * this.#config.head_dim;
  }

  /** Blocks that `reserve` of positions [from, to) would take. */
  needed(blocks: BlockList, from: number, to: number): number {
    const last = Math.ceil(to / this.blockSize);
    let shared = 0;
    for (let b = Math.floor(from / this.blockSize); b < Math.min(last, blocks.length); b++) if (this.#references[blocks[b]] > 1) shared++;
    return shared + Math.max(0, last - blocks.length);
  }

  /**
   * Makes positions [from, to) of a sequence writable: new blocks at its end, own copies of shared ones. Call `commit` before writing, or
   * `rollback` where that will not come.
   */
  reserve(blocks: BlockList, from: number, to: number): void {
    for (let b = Math.floor(from / this.blockSize); b < Math.ceil(to / this.blockSize); b++) {
      if (b >= blocks.length) blocks.push(this.#take());
      else if (this.#references[blocks[b]] > 1) {
        const own = this.#take();
        this.#copies.push({ blocks, index: b, source: blocks[b] });
        this.#references[blocks[b]]--;
        blocks[b] = own;
      }
    }
  }

  /** Carries out the copies that `reserve` asked for. */
  commit(): void {
    if (this.#copies.length === 0) return;
    const ctx = this.#ctx;
    const sources = Uint32Array.from(this.#copies, ({ source }) => source);
    const targets = Uint32Array.from(this.#copies, ({ blocks, index }) => blocks[index]);
    const { owner, views } = ctx.fromMany([sources, targets]);
    const params = { count: sources.length, block_elems: this.#blockElements, num_blocks: this.numBlocks };
    this.keys.forEach((k, i) => {
      ctx.run(spec, 'kv_copy_blocks', [k, this.values[i], ...views], params);
    });
    ctx.free(owner);
    this.#copies = [];
  }

  /** Takes back the copies that were not carried out: their sequences share the blocks again. */
  rollback(): void {
    for (const { blocks, index, source } of this.#copies.splice(0)) {
      const [own] = blocks.splice(index, 1, source);
      this.#references[source]++;
      this.#drop(own);
    }
  }

  /** Another sequence over the same blocks. */
  share(blocks: BlockList): BlockList {
    for (const b of blocks) this.#references[b]++;
    return [...blocks];
  }

  /** Gives back all blocks from index `from` on. */
  release(blocks: BlockList, from = 0): void {
    for (const b of blocks.splice(from)) this.#drop(b);
  }

  destroy(): void {
    for (const t of [...this.keys, ...this.values]) this.#ctx.free(t);
    this.keys = [];
    this.values = [];
    this.#references = new Uint32Array(0);
  }

  #take(): number {
    if (this.#free.length === 0 && this.#used === this.numBlocks) this.#grow(this.#used + 1);
    const block = this.#free.pop() ?? this.#used++;
    this.#references[block] = 1;
    return block;
  }

  #drop(block: number): void {
    if (--this.#references[block] === 0) this.#free.push(block);
  }

  /** Doubles the memory until `blocks` fit, and moves what is there. Layers that moved before another got no memory stay large. */
  #grow(blocks: number): void {
    if (blocks > this.maxBlocks) {
      throw new EngineError(
        `the KV cache holds at most ${this.maxBlocks} blocks of ${this.blockSize} tokens; release sequences or raise its limit`,
      );
    }
    let size = Math.max(this.numBlocks, FIRST_BLOCKS);
    while (size < blocks) size *= 2;
    size = Math.min(size, this.maxBlocks);
    const ctx = this.#ctx;
    const { num_key_value_heads: kvHeads, head_dim: headDim, num_hidden_layers: layers } = this.#config;
    const moved = (old: Tensor | undefined): Tensor => {
      if (old && old.shape[0] >= size) return old;
      const t = ctx.persist(ctx.tensor([size, this.blockSize, kvHeads, headDim]));
      if (old) {
        ctx.backend.copy({ ...t.slice, length: old.slice.length }, old.slice);
        ctx.free(old);
      }
      return t;
    };
    for (let i = 0; i < layers; i++) {
      this.keys[i] = moved(this.keys[i]);
      this.values[i] = moved(this.values[i]);
    }
    const references = new Uint32Array(size);
    references.set(this.#references);
    this.#references = references;
  }
}
