/**
 * The claims of the paper and the rule by which each is judged. A contrast says yes when its whole 95 % interval lies above its threshold,
 * no when the whole interval lies below, and nothing otherwise. A claim of several contrasts is confirmed when all say yes, not confirmed
 * when one says no, and cannot be said otherwise; no correction for several contrasts is needed for "all". Source of the claims:
 * eag-rl.md section 6.
 */
import { SHUFFLED } from './matrix.ts';
import type { Bounds, Draws, Stat } from './rows.ts';

export type Decision = 'confirmed' | 'not confirmed' | 'cannot be said';

/** One quantity that a claim rests on. */
export interface Contrast {
  readonly name: string;
  readonly threshold: number;
  readonly terms: readonly (readonly [cell: string, stat: Stat])[];
  readonly of: (values: readonly number[]) => number;
}

export interface Claim {
  readonly id: string;
  /** As the paper, or a summary of it, has it; we hold no text of it. */
  readonly claim: string;
  /** What is compared, and when it counts as confirmed. */
  readonly rule: string;
  readonly contrasts: readonly Contrast[];
}

export interface Evidence extends Bounds {
  readonly name: string;
  readonly threshold: number;
  readonly decision: Decision;
  /** Test patients at which the interval would leave the threshold; null when it has left it, and when no number would do. */
  readonly patients_needed: number | null;
}

export interface Verdict {
  readonly id: string;
  readonly claim: string;
  readonly rule: string;
  readonly decision: Decision;
  readonly evidence: readonly Evidence[];
  /** Cells that the rule needs and the run has not. */
  readonly missing: readonly string[];
  readonly needed: string;
}

const RIVALS = ['vanilla', 'features', 'decompose', 'sft_answer', 'grpo', 'dapo'] as const;
const PARTS = [
  ['no_stage1', 'Stage 1'],
  ['stage1', 'Stage 2'],
  ['no_attention', 'R_att'],
  ['no_adaptive', 'the adaptive clip'],
] as const;
/** Gain that the paper states [p]. */
const CLAIMED_GAIN = 0.1462;
/** Loss of AUROC that still counts as robust [d]: the standard error of an AUROC near 0.9 on 200 patients. */
const MARGIN = 0.02;

const minus = (a: string, b: string, stat: Stat, threshold = 0): Contrast => ({
  name: `${a} - ${b}, ${stat.toUpperCase()}`,
  threshold,
  terms: [
    [a, stat],
    [b, stat],
  ],
  of: ([x, y]) => x - y,
});

export const CLAIMS: readonly Claim[] = [
  {
    id: 'best',
    claim: 'EAG-RL is better than prompting, SFT on bare answers, GRPO and DAPO everywhere',
    rule: 'AUROC and AUPRC of EAG-RL minus those of each rival, on the same patients: confirmed when every interval lies above 0',
    contrasts: RIVALS.flatMap((rival) => [minus('eagrl', rival, 'auroc'), minus('eagrl', rival, 'auprc')]),
  },
  {
    id: 'gain',
    claim: `EAG-RL gains ${(100 * CLAIMED_GAIN).toFixed(2)} % on average over the base policy`,
    rule: `mean of the relative gains in AUROC and AUPRC over the base policy asked in the same way (decompose): confirmed when the interval lies above ${CLAIMED_GAIN}`,
    contrasts: [
      {
        name: 'mean relative gain of eagrl over decompose, AUROC and AUPRC',
        threshold: CLAIMED_GAIN,
        terms: [
          ['eagrl', 'auroc'],
          ['decompose', 'auroc'],
          ['eagrl', 'auprc'],
          ['decompose', 'auprc'],
        ],
        of: ([a, b, c, d]) => (a / b - 1 + (c / d - 1)) / 2,
      },
    ],
  },
  {
    id: 'stages',
    claim: 'removing Stage 2 hurts more than removing Stage 1',
    rule: 'AUROC without Stage 1 minus AUROC without Stage 2 (Stage 1 only): confirmed when the interval lies above 0',
    contrasts: [minus('no_stage1', 'stage1', 'auroc')],
  },
  ...PARTS.map(
    ([cell, part]): Claim => ({
      id: `part_${cell}`,
      claim: `${part} contributes`,
      rule: `AUROC of EAG-RL minus that of ${cell}: confirmed when the interval lies above 0`,
      contrasts: [minus('eagrl', cell, 'auroc')],
    }),
  ),
  {
    id: 'robust',
    claim: 'EAG-RL is robust to the order of the features',
    rule:
      `AUROC with 20, 40, 60 and 100 % of the feature lines shuffled minus AUROC in order: confirmed when every interval lies above -${MARGIN}, ` +
      'and the AUROC in order above 0.5 (a policy at chance has nothing to lose)',
    contrasts: [
      { name: 'eagrl, AUROC', threshold: 0.5, terms: [['eagrl', 'auroc']], of: ([x]) => x },
      ...SHUFFLED.map((fraction) => minus(`shuffled_${Math.round(100 * fraction)}`, 'eagrl', 'auroc', -MARGIN)),
    ],
  },
  {
    id: 'transfer',
    claim: 'EAG-RL trained on one cohort holds on another (in the paper: MIMIC-IV to TJH)',
    rule: 'AUROC on this cohort of the policy trained on the other (`transfer_config`), minus that of the base policy asked in the same way: confirmed when the interval lies above 0',
    contrasts: [minus('transfer_in', 'decompose', 'auroc')],
  },
];

export function decide({ lower, upper }: Pick<Bounds, 'lower' | 'upper'>, threshold: number): Decision {
  if (lower > threshold) return 'confirmed';
  return upper < threshold ? 'not confirmed' : 'cannot be said';
}

/** More test patients than there are people: if these do not settle a contrast, none do. */
const EVERYBODY = 1e10;

/**
 * Test patients, more than the `n` there are, at which an interval leaves the threshold while the values of each seed stay what they are;
 * Infinity where none do: the seeds alone spread across the threshold, or the value lies on it. With one seed that is n (h / d)^2, d the
 * value's distance from the threshold, h that of the interval's bound on this side. @param at the interval at so many test patients
 */
export function patientsNeeded(at: (people: number) => Pick<Bounds, 'lower' | 'upper'>, threshold: number, n: number): number {
  const settled = (people: number) => decide(at(people), threshold) !== 'cannot be said';
  if (!settled(EVERYBODY)) return Number.POSITIVE_INFINITY;
  let [low, high] = [n, EVERYBODY];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (settled(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Every claim judged by the cells there are. */
export function judge(draws: Draws, claims: readonly Claim[] = CLAIMS): Verdict[] {
  return claims.map((claim) => {
    const { id, rule, contrasts } = claim;
    const missing = [...new Set(contrasts.flatMap((c) => c.terms.flatMap(([cell, stat]) => (draws.has(cell, stat) ? [] : [cell]))))];
    const evidence = contrasts
      .filter((c) => c.terms.every(([cell, stat]) => draws.has(cell, stat)))
      .map((c): Evidence => {
        const bounds = draws.combine(c.terms, c.of);
        const decision = decide(bounds, c.threshold);
        const at = (people: number) => draws.combine(c.terms, c.of, people);
        const needed = decision === 'cannot be said' ? patientsNeeded(at, c.threshold, draws.people) : null;
        return {
          name: c.name,
          ...bounds,
          threshold: c.threshold,
          decision,
          patients_needed: needed !== null && Number.isFinite(needed) ? needed : null,
        };
      });
    const decision = overall(evidence, missing.length > 0 || contrasts.length === 0);
    return { id, claim: claim.claim, rule, decision, evidence, missing, needed: neededFor(decision, evidence, missing, draws.numSeeds) };
  });
}

/** A single no decides; a yes needs all of them, none missing. */
function overall(evidence: readonly Evidence[], incomplete: boolean): Decision {
  if (evidence.some((e) => e.decision === 'not confirmed')) return 'not confirmed';
  return !incomplete && evidence.every((e) => e.decision === 'confirmed') ? 'confirmed' : 'cannot be said';
}

function neededFor(decision: Decision, evidence: readonly Evidence[], missing: readonly string[], numSeeds: number): string {
  if (decision === 'confirmed') return 'nothing on this cohort; other cohorts and a larger policy';
  if (decision === 'not confirmed') return 'another policy or other settings: more patients would only narrow the interval';
  const parts: string[] = [];
  if (missing.length > 0) parts.push(`the cells ${missing.join(', ')}`);
  const open = evidence.filter((e) => e.decision === 'cannot be said');
  // One contrast below its threshold is enough for a no; a yes needs all of them.
  const below = open.filter((e) => e.value < e.threshold);
  const asked = below.length > 0 ? below : open;
  const patients = asked.map((e) => e.patients_needed ?? Number.POSITIVE_INFINITY);
  const enough = below.length > 0 ? Math.min(...patients) : Math.max(...patients);
  if (open.length > 0) {
    const then = below.length > 0 ? 'not confirmed' : 'confirmed';
    if (Number.isFinite(enough)) {
      parts.push(`about ${enough} test patients: if the differences stay what they are, the claim is then ${then}`);
    } else if (numSeeds > 1 && asked.every((e) => e.value !== e.threshold)) {
      parts.push(`more seeds: the differences of these ${numSeeds} spread so far that no number of test patients makes it ${then}`);
    } else parts.push('a difference: at least one is at its threshold, which no number of patients can settle');
  }
  return parts.join('; and ');
}
