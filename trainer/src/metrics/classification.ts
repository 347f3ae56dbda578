/**
 * Metrics of binary outcomes. Columns: labels (N) in {0, 1}, scores (N) finite; ties are never broken by position.
 * AUROC and average precision agree with scikit-learn's roc_auc_score and average_precision_score (test/golden/sklearn_metrics.json).
 */

/** A column of numbers, length N. */
export type Column = ArrayLike<number>;

export const METRIC_NAMES = ['auroc', 'auprc', 'minpse', 'f1', 'brier', 'ece'] as const;
export type MetricName = (typeof METRIC_NAMES)[number];
export type Metrics = Readonly<Record<MetricName, number>>;

/** One operating point: every score >= threshold is called positive. */
export interface RocPoint {
  readonly fpr: number;
  readonly tpr: number;
  readonly threshold: number;
}
export interface PrPoint {
  readonly recall: number;
  readonly precision: number;
  readonly threshold: number;
}
/** One bin of the reliability diagram. Empty bins are left out. */
export interface CalibrationBin {
  readonly count: number;
  readonly meanScore: number;
  readonly fractionPositive: number;
}

/** Counts at each distinct score, thresholds descending: tp, fp = positives, negatives with score >= threshold. */
interface ThresholdCounts {
  readonly thresholds: Float64Array;
  readonly tp: Float64Array;
  readonly fp: Float64Array;
  readonly positives: number;
  readonly negatives: number;
}

function check(op: string, labels: Column, scores: Column, bothClasses: boolean): number {
  const n = labels.length;
  if (n === 0 || scores.length !== n) {
    throw new RangeError(`${op}: expected labels and scores of one length >= 1, got ${n} and ${scores.length}`);
  }
  let positives = 0;
  for (let i = 0; i < n; i++) {
    if (labels[i] !== 0 && labels[i] !== 1) throw new RangeError(`${op}: expected labels 0 or 1, got another at row ${i}`);
    if (!Number.isFinite(scores[i])) {
      throw new RangeError(`${op}: expected finite scores, got ${scores[i]} at row ${i}; replace unparsable answers first`);
    }
    positives += labels[i];
  }
  if (bothClasses && (positives === 0 || positives === n)) {
    throw new RangeError(`${op}: needs both classes, got ${positives} positives of ${n}; evaluate on a larger set`);
  }
  return positives;
}

function thresholdCounts(op: string, labels: Column, scores: Column): ThresholdCounts {
  const positives = check(op, labels, scores, true);
  const n = labels.length;
  const order = Uint32Array.from({ length: n }, (_, i) => i).sort((a, b) => scores[b] - scores[a]);
  const thresholds = new Float64Array(n);
  const tp = new Float64Array(n);
  const fp = new Float64Array(n);
  let groups = 0;
  let hits = 0;
  for (let i = 0; i < n; i++) {
    hits += labels[order[i]];
    const lastOfTie = i + 1 === n || scores[order[i + 1]] !== scores[order[i]];
    if (!lastOfTie) continue;
    thresholds[groups] = scores[order[i]];
    tp[groups] = hits;
    fp[groups] = i + 1 - hits;
    groups++;
  }
  return {
    thresholds: thresholds.subarray(0, groups),
    tp: tp.subarray(0, groups),
    fp: fp.subarray(0, groups),
    positives,
    negatives: n - positives,
  };
}

/**
 * Area under the ROC curve = P(score of a positive > score of a negative) + 1/2 P(equal), Mann-Whitney's U / (P N).
 * @throws RangeError when only one class is present.
 */
export function auroc(labels: Column, scores: Column): number {
  const { tp, fp, positives, negatives } = thresholdCounts('auroc', labels, scores);
  let area = 0;
  let tpBefore = 0;
  let fpBefore = 0;
  for (let g = 0; g < tp.length; g++) {
    area += ((fp[g] - fpBefore) * (tp[g] + tpBefore)) / 2;
    tpBefore = tp[g];
    fpBefore = fp[g];
  }
  return area / (positives * negatives);
}

/**
 * Average precision AP = sum_g (recall_g - recall_{g-1}) precision_g over the distinct scores, descending; tied scores are one group.
 * @throws RangeError when only one class is present.
 */
export function averagePrecision(labels: Column, scores: Column): number {
  const { tp, fp, positives } = thresholdCounts('averagePrecision', labels, scores);
  let sum = 0;
  let tpBefore = 0;
  for (let g = 0; g < tp.length; g++) {
    sum += ((tp[g] - tpBefore) / positives) * (tp[g] / (tp[g] + fp[g]));
    tpBefore = tp[g];
  }
  return sum;
}

/** min(P, Se): the largest over all thresholds of min(precision, recall), as in the authors' benchmark. */
export function minPrecisionSensitivity(labels: Column, scores: Column): number {
  const { tp, fp, positives } = thresholdCounts('minPrecisionSensitivity', labels, scores);
  let best = 0;
  for (let g = 0; g < tp.length; g++) best = Math.max(best, Math.min(tp[g] / (tp[g] + fp[g]), tp[g] / positives));
  return best;
}

/** F1 = 2 TP / (2 TP + FP + FN) with score > 0.5 called positive; 0 when there is nothing to find and nothing found. */
export function f1AtHalf(labels: Column, scores: Column): number {
  check('f1AtHalf', labels, scores, false);
  let tp = 0;
  let errors = 0;
  for (let i = 0; i < labels.length; i++) {
    const predicted = scores[i] > 0.5 ? 1 : 0;
    if (predicted !== labels[i]) errors++;
    else tp += predicted;
  }
  return tp + errors === 0 ? 0 : (2 * tp) / (2 * tp + errors);
}

/** Brier score = mean (score - label)^2; scores are probabilities. */
export function brier(labels: Column, scores: Column): number {
  check('brier', labels, scores, false);
  let sum = 0;
  for (let i = 0; i < labels.length; i++) sum += (scores[i] - labels[i]) ** 2;
  return sum / labels.length;
}

/** Reliability diagram: bins [k/B, (k+1)/B), the last one closed; scores in [0, 1]. */
export function calibrationBins(labels: Column, scores: Column, numBins = 10): CalibrationBin[] {
  check('calibrationBins', labels, scores, false);
  const count = new Float64Array(numBins);
  const scoreSum = new Float64Array(numBins);
  const positives = new Float64Array(numBins);
  for (let i = 0; i < labels.length; i++) {
    if (scores[i] < 0 || scores[i] > 1) throw new RangeError(`calibrationBins: expected scores in [0, 1], got ${scores[i]}`);
    const bin = Math.min(numBins - 1, Math.floor(scores[i] * numBins));
    count[bin]++;
    scoreSum[bin] += scores[i];
    positives[bin] += labels[i];
  }
  const bins: CalibrationBin[] = [];
  for (let b = 0; b < numBins; b++) {
    if (count[b] === 0) continue;
    bins.push({ count: count[b], meanScore: scoreSum[b] / count[b], fractionPositive: positives[b] / count[b] });
  }
  return bins;
}

/** Expected calibration error = sum_b count_b / N |mean score_b - fraction positive_b| over 10 equal-width bins. */
export function expectedCalibrationError(labels: Column, scores: Column, numBins = 10): number {
  let sum = 0;
  for (const bin of calibrationBins(labels, scores, numBins)) {
    sum += bin.count * Math.abs(bin.meanScore - bin.fractionPositive);
  }
  return sum / labels.length;
}

/** ROC points from (0, 0) to (1, 1), one per distinct score. */
export function rocCurve(labels: Column, scores: Column): RocPoint[] {
  const { thresholds, tp, fp, positives, negatives } = thresholdCounts('rocCurve', labels, scores);
  const points: RocPoint[] = [{ fpr: 0, tpr: 0, threshold: Number.POSITIVE_INFINITY }];
  for (let g = 0; g < tp.length; g++) {
    points.push({ fpr: fp[g] / negatives, tpr: tp[g] / positives, threshold: thresholds[g] });
  }
  return points;
}

/** Precision-recall points by rising recall, one per distinct score; starts at (recall 0, precision 1) by convention. */
export function prCurve(labels: Column, scores: Column): PrPoint[] {
  const { thresholds, tp, fp, positives } = thresholdCounts('prCurve', labels, scores);
  const points: PrPoint[] = [{ recall: 0, precision: 1, threshold: Number.POSITIVE_INFINITY }];
  for (let g = 0; g < tp.length; g++) {
    points.push({ recall: tp[g] / positives, precision: tp[g] / (tp[g] + fp[g]), threshold: thresholds[g] });
  }
  return points;
}

/**
 * All six metrics of one column of probabilities.
 * @throws RangeError on lengths that differ, labels other than 0 and 1, non-finite scores, or one class only.
 */
export function classificationMetrics(labels: Column, scores: Column): Metrics {
  return {
    auroc: auroc(labels, scores),
    auprc: averagePrecision(labels, scores),
    minpse: minPrecisionSensitivity(labels, scores),
    f1: f1AtHalf(labels, scores),
    brier: brier(labels, scores),
    ece: expectedCalibrationError(labels, scores),
  };
}
