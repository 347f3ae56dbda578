/** The stages as the CLI calls them; each is loaded when its command runs, so that --help and config errors cost nothing. */
import type { Config } from '../config/schema.ts';
import type { Summary } from '../report/summary.ts';
import type { ChatOptions, ChatSession } from '../stages/chat.ts';
import type { MergeOptions } from '../stages/merge.ts';

/** Phases of a run in their order. */
export const PHASES = ['pretrain', 'expert', 'mcts', 'sft', 'rl', 'eval'] as const;
export type Phase = (typeof PHASES)[number];

export interface RunOptions {
  readonly resume: boolean;
  readonly clean: boolean;
  /** Stops after the work in hand: save a checkpoint, then throw the signal's reason. */
  readonly signal: AbortSignal;
  /** Phases to run; results of the others are read from the run folder. Null: all but pretrain. */
  readonly phases: readonly Phase[] | null;
}

/** stages/pipeline.ts */
export interface PipelineModule {
  runPipeline(config: Config, options: RunOptions): Promise<Summary | null>;
}

/** stages/data.ts */
export interface DataModule {
  /** Reads or generates the cohort, writes cohort flow and splits into the run folder; returns what was written, in words. */
  prepareData(config: Config): Promise<readonly string[]>;
  /** Reads the cohort and checks everything a run relies on. @throws DataError */
  validateData(config: Config): Promise<readonly string[]>;
  /** Writes the cohort as a MEDS folder; returns what was written, in words. @throws ConfigError when it exists */
  exportData(config: Config, out: string): Promise<readonly string[]>;
  /** One training sample as the model sees it, trained tokens marked. */
  inspectData(config: Config, index: number): Promise<string>;
}

/** stages/devices.ts */
export interface DevicesModule {
  /** One entry per device of --device: what it is, or why it cannot be used. */
  probeDevices(): Promise<readonly { readonly device: string; readonly usable: boolean; readonly detail: string }[]>;
}

/** stages/chat.ts */
export interface ChatModule {
  withChat<T>(options: ChatOptions, talk: (session: ChatSession, about: string) => Promise<T>): Promise<T>;
}

/** stages/merge.ts */
export interface MergeModule {
  mergeLora(options: MergeOptions): Promise<readonly string[]>;
}

/** stages/plan.ts */
export interface PlanModule {
  planOn(model: string, config: Config, promptLength: number, json: boolean): Promise<string>;
}

interface StageModules {
  readonly pipeline: PipelineModule;
  readonly data: DataModule;
  readonly devices: DevicesModule;
  readonly chat: ChatModule;
  readonly merge: MergeModule;
  readonly plan: PlanModule;
}

export function loadStage<Name extends keyof StageModules>(name: Name): Promise<StageModules[Name]> {
  return import(`../stages/${name}.ts`) as Promise<StageModules[Name]>;
}
