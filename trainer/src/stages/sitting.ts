/**
 * What a phase of training needs from its surroundings, for whoever runs phases: log, progress, checkpoints, and where to go on. (Node edge.)
 */
import type { Config } from '../config/schema.ts';
import type { FolderCheckpoints } from '../run/checkpoints.ts';
import type { FolderJournal } from '../run/folder_journal.ts';
import type { MetricsLogger, MetricsLoggerOptions } from '../run/metrics_logger.ts';
import { createProgress, type Progress } from '../util/progress.ts';
import type { TrainingRun } from './train_loop.ts';

/** Names in metrics.jsonl and checkpoints/, in the order in which a run passes through them. */
export const TRACKS = ['pretrain', 'expert', 'mcts', 'sft', 'sft_answer', 'rl', 'eval'] as const;
export type Track = (typeof TRACKS)[number];

/** The last thing the run folder knows of, for the metrics log; undefined for a fresh run. */
export function resumePoint(checkpoints: FolderCheckpoints, journal: FolderJournal): MetricsLoggerOptions['resumeAt'] {
  if (journal.peek('eval-logged') !== null) return { phase: 'eval', step: 1 };
  for (const track of [...TRACKS].reverse()) {
    // The experts' records are those of the first member, epoch by epoch: all of them stay once it is kept.
    if (track === 'expert' && journal.steps(track) > 0) return { phase: track, step: Number.MAX_SAFE_INTEGER };
    const step = checkpoints.newest(track)?.state.step ?? journal.steps(track);
    if (step > 0) return { phase: track, step };
  }
  return undefined;
}

export function trainingRun(
  track: Track,
  config: Config,
  maxTokens: number,
  checkpoints: FolderCheckpoints,
  logger: MetricsLogger,
  signal: AbortSignal,
  bars: Map<string, Progress>,
  warn: (message: string) => void,
): TrainingRun {
  return {
    phase: track,
    maxTokens,
    checkpointEvery: config.checkpoint.every_steps,
    checkpoints,
    signal,
    log: (step, metrics) => logger.log(track, step, { ...metrics, 'perf/peak_memory': process.resourceUsage().maxRSS * 1024 }),
    warn,
    progress: (done, total, note) => {
      let bar = bars.get(track);
      if (!bar) {
        bar = createProgress({ label: track, total, start: done });
        bars.set(track, bar);
      }
      bar.update(done, note);
      if (done >= total) {
        bar.stop();
        bars.delete(track);
      }
    },
  };
}
