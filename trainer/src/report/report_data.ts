/** What report.html is drawn from. Every part but the summary is optional: what a run did not do is not shown. */
import type { Environment } from '../run/environment.ts';
import type { MetricRecord } from '../run/metrics_logger.ts';
import type { EvalName, Summary } from './summary.ts';

/** One predictor's test set: labels (N) in {0, 1}, scores (N) in [0, 1]. */
export interface Predictions {
  readonly labels: readonly number[];
  readonly scores: readonly number[];
}

/** Share of test patients for whom a feature is in C_exp, or is named by the policy. */
export interface FeatureFrequency {
  readonly name: string;
  readonly expert: number;
  readonly zero_shot?: number;
  readonly stage2: number;
}

/** One test patient before and after training. Completions are raw text in the answer grammar. */
export interface ReasoningExample {
  readonly prompt: string;
  readonly label: 0 | 1;
  readonly expertFeatures: readonly string[];
  /** Known for generated patients. */
  readonly causalFeatures?: readonly string[];
  readonly before: string;
  readonly after: string;
}

/** A node of a search tree; `SearchNode` of mcts/search.ts is one. Node 0 is the root, parents come before children. */
export interface TreeNode {
  readonly parent: number;
  readonly text: string;
  readonly terminal: boolean;
  readonly visits: number;
  /** Largest back-propagated value. */
  readonly maxValue: number;
  readonly reward: number;
}

/** The parts of a report that no other file of the run folder holds: report_data.json. */
export interface ReportParts {
  readonly dataset: string;
  readonly task: string;
  /** False for real patients: reasoning and tree are then left out. */
  readonly synthetic: boolean;
  readonly predictions: Readonly<Partial<Record<EvalName, Predictions>>>;
  readonly featureFrequency?: readonly FeatureFrequency[];
  readonly reasoning?: ReasoningExample;
  readonly tree?: readonly TreeNode[];
}

export interface ReportData extends ReportParts {
  readonly runName: string;
  readonly summary: Summary;
  /** Records of metrics.jsonl; phase `rl` is drawn. */
  readonly metrics: readonly MetricRecord[];
  readonly configYaml: string;
  readonly environment: Environment;
}
