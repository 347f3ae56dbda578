/** What a run leaves behind: one line of JSON for the run, one per row, one per bar. */
import type { Floor } from '../floor/floor.ts';
import type { Bar } from './bars.ts';
import type { Machine } from './machine.ts';
import type { Row } from './report.ts';

/** All that is needed to run it again, and to judge it. */
export interface Run {
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly machine: Machine;
  readonly commit: string | null;
  readonly command: string;
  /** Package versions: ours, the WebGPU implementation, the peers. */
  readonly versions: Readonly<Record<string, string>>;
  /** What was timed, in words, with the budget in milliseconds and rounds. */
  readonly workload: string;
  readonly floors: Readonly<Record<string, Floor>>;
  readonly peers: readonly PeerStatus[];
  /** Rows that this machine would have taken too long for. */
  readonly leftOut?: readonly string[];
  /** Rows that were asked for when the run was over: see `--minutes`. */
  readonly notReached?: readonly string[];
}

export interface PeerStatus {
  readonly name: string;
  readonly version: string | null;
  /** Why it takes no part; null when it does. */
  readonly failed: string | null;
}

export interface Receipt {
  readonly run: Run;
  readonly rows: readonly Row[];
  readonly bars: readonly Bar[];
}

export class ReceiptError extends Error {}

export function writeReceipt({ run, rows, bars }: Receipt): string {
  const lines = [{ type: 'run', ...run }, ...rows.map((r) => ({ type: 'row', ...r })), ...bars.map((b) => ({ type: 'bar', ...b }))];
  return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
}

/** Rows from before `floor_ms` have null there. @throws ReceiptError naming the line that is not one of a receipt. */
export function readReceipt(text: string): Receipt {
  let run: Run | undefined;
  const rows: Row[] = [];
  const bars: Bar[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    let value: { type?: unknown };
    try {
      value = JSON.parse(line) as { type?: unknown };
    } catch {
      throw new ReceiptError(`line ${i + 1} is not JSON`);
    }
    const { type, ...rest } = value;
    if (type === 'run') run = rest as unknown as Run;
    else if (type === 'row') rows.push({ floor_ms: null, ...rest } as unknown as Row);
    else if (type === 'bar') bars.push(rest as unknown as Bar);
    else throw new ReceiptError(`line ${i + 1}: type is ${JSON.stringify(type)}; a receipt has run, row and bar`);
  });
  if (!run) throw new ReceiptError('no line of type run; write receipts with --receipt');
  return { run, rows, bars };
}
