/** Progress on stderr, so that stdout holds results alone: a bar with time left on a terminal, occasional plain lines without one. */
import cliProgress from 'cli-progress';
import { formatSeconds } from './seconds.ts';

export interface Progress {
  /** `done` of the total; `detail`: a few words, e.g. `reward -0.41`. */
  update(done: number, detail?: string): void;
  stop(): void;
}

/** Plain lines come at least so far apart. */
const LINE_SECONDS = 10;

export interface ProgressOptions {
  readonly label: string;
  /** Units of work, > 0. */
  readonly total: number;
  /** Units done by an earlier run; time left is reckoned from there. */
  readonly start?: number;
  readonly stream?: ProgressStream;
}

/** As much of a Node stream as progress needs: the published types ask nobody for Node's. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export function createProgress({ label, total, start = 0, stream = process.stderr }: ProgressOptions): Progress {
  const began = performance.now();
  const timeLeft = (done: number): string => {
    const elapsed = (performance.now() - began) / 1000;
    return done > start ? formatSeconds((elapsed / (done - start)) * (total - done)) : '?';
  };
  if (stream.isTTY) {
    const bar = new cliProgress.SingleBar({
      stream: stream as NodeJS.WriteStream,
      format: `${label.padEnd(10)} {bar} {value}/{total}  {left} left  {detail}`,
      barCompleteChar: '#',
      barIncompleteChar: '-',
      barsize: 24,
      hideCursor: true,
      fps: 5,
    });
    bar.start(total, start, { left: '?', detail: '' });
    return {
      update: (done, detail = '') => bar.update(done, { left: timeLeft(done), detail }),
      stop: () => bar.stop(),
    };
  }
  let lastLine = Number.NEGATIVE_INFINITY;
  return {
    update: (done, detail = '') => {
      const now = performance.now() / 1000;
      if (done < total && now - lastLine < LINE_SECONDS) return;
      lastLine = now;
      const state = done >= total ? `${formatSeconds((performance.now() - began) / 1000)} in all` : `${timeLeft(done)} left`;
      stream.write(`${label} ${done}/${total}, ${state}${detail === '' ? '' : `, ${detail}`}\n`);
    },
    stop: () => {},
  };
}
