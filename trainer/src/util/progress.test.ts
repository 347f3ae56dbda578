/** Plan: plain lines without a terminal: the first, one per 10 s, the last; time left from the work of this process alone. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgress } from './progress.ts';
import { formatSeconds } from './seconds.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

describe('createProgress without a terminal', () => {
  it('says the first, one line per 10 s, and the last', () => {
    const lines: string[] = [];
    const stream = { isTTY: false, write: (line: string) => lines.push(line) } as unknown as NodeJS.WriteStream;
    const progress = createProgress({ label: 'rl', total: 20, start: 10, stream });
    for (let done = 11; done <= 20; done++) {
      vi.advanceTimersByTime(4000);
      progress.update(done, `reward ${done}`);
    }
    progress.stop();
    expect(lines).toEqual([
      'rl 11/20, 36s left, reward 11\n',
      'rl 14/20, 24s left, reward 14\n',
      'rl 17/20, 12s left, reward 17\n',
      'rl 20/20, 40s in all, reward 20\n',
    ]);
  });
});

describe('formatSeconds', () => {
  it.each([
    [0.4, '0s'],
    [59.6, '1m00s'],
    [200, '3m20s'],
    [3899, '1h04m'],
  ])('%s s is %s', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));
});
