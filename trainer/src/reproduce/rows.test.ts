/**
 * Plan: rows, verdicts and tables from answers made by hand.
 *   one seed: value and interval are those of bootstrapMetrics, differences those of pairedBootstrap
 *   several seeds: the mean of the seeds, its spread, an interval that seeds which disagree widen; pairing cancels what is common
 *   people: stays of one patient are drawn together; the row and the document say how many there are
 *   per-patient columns: Jaccard with the expert and with the truth, unread, tokens
 *   verdicts: the rule at each side of its threshold; one no decides; a missing cell keeps a yes back; patients needed,
 *     against the same cohort so many times over, and where the seeds alone leave it open
 *   experts and cost: by hand
 *   tables: only what the rows hold, escapes, EAG-RL above other groups; figures and REPRODUCTION.md hold the rows' numbers
 */
import { Random } from '@eagrl/testing';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve.ts';
import { bootstrapMetrics, pairedBootstrap } from '../metrics/bootstrap.ts';
import { auroc, expectedCalibrationError, METRIC_NAMES } from '../metrics/classification.ts';
import type { Member } from '../stages/expert.ts';
import type { Cohort } from '../types.ts';
import { CLAIMS, type Claim, decide, judge, patientsNeeded } from './claims.ts';
import { type Reproduction, reproductionMarkdown } from './document.ts';
import { expertRows, expertTable } from './experts.ts';
import { figuresOf, ticks } from './figures.ts';
import { type Bounds, type CellColumns, type CellData, Draws, givenColumns, policyColumns, type Row, rowsOf } from './rows.ts';
import { csv, groupRows, groupTable, headRows, latex, longCsv, markdown, phaseTable } from './tables.ts';

const N = 80;
const labels = Array.from({ length: N }, (_, i) => (i % 3 === 0 ? 1 : 0));
const options = { numBootstrap: 200, seed: 3 };
const costs = [
  { title: 'expert a 1', kind: 'expert', seconds: 2, tokens: 0, flops: 4e9, device: 'wasm' },
  { title: 'rl a 1', kind: 'rl', seconds: 1, tokens: 100, flops: 2e9, device: 'wasm' },
  { title: 'rl b 1', kind: 'rl', seconds: 5, tokens: 200, flops: 10e9, device: 'wasm' },
];

/** Scores that know the label to some degree; `skill` 0 is noise. */
function scores(name: string, skill: number): number[] {
  const random = new Random(name);
  return labels.map((y) => Math.min(1, Math.max(0, 0.5 + skill * (y - 0.5) + 0.3 * (random.next() - 0.5))));
}
const columns = (probabilities: number[], more: Partial<CellColumns> = {}): CellColumns => ({
  probabilities,
  jaccard: null,
  truthJaccard: null,
  unread: null,
  tokens: null,
  ...more,
});
const cell = (name: string, seeds: CellColumns[], group: CellData['group'] = 'method'): CellData => ({
  name,
  label: `the ${name}`,
  group,
  seeds,
});

describe('one seed', () => {
  const a = scores('a', 0.2);
  const b = scores('b', 0.1);
  const cells = [cell('eagrl', [columns(a)]), cell('vanilla', [columns(b)])];
  const rows = rowsOf(new Draws(labels, cells, options), cells, 42);

  it.each(METRIC_NAMES)('%s: value, interval and paired difference are those of metrics/bootstrap.ts', (metric) => {
    const own = bootstrapMetrics(labels, b, options)[metric];
    expect(rows[1].stats[metric]).toEqual({ value: own.value, lower: own.lower, upper: own.upper });
    const paired = pairedBootstrap(labels, b, a, options)[metric];
    expect(rows[1].difference![metric]).toEqual({ value: paired.value, lower: paired.lower, upper: paired.upper });
  });
  it('the reference has no difference, a single seed no spread, and n and prevalence are the patients', () => {
    expect(rows[0]).toMatchObject({ cell: 'eagrl', seed: 42, n: N, prevalence: 27 / 80, difference: null, seed_std: null });
    expect(rows[1].stats.jaccard).toBeUndefined();
  });
});

describe('several seeds', () => {
  const [s1, s2, s3] = [0.05, 0.2, 0.5].map((skill, i) => scores(`seed ${i}`, skill));
  const same = [cell('eagrl', [columns(s2), columns(s2), columns(s2)])];
  const apart = [cell('eagrl', [columns(s1), columns(s2), columns(s3)])];

  it('equal seeds give the interval of one', () => {
    const alone = [cell('eagrl', [columns(s2)])];
    const [one] = rowsOf(new Draws(labels, alone, options), alone, null);
    const [three] = rowsOf(new Draws(labels, same, options), same, null);
    expect(three.stats.auroc!.value).toBeCloseTo(one.stats.auroc!.value, 12);
    expect(three.stats.auroc!.lower).toBeCloseTo(one.stats.auroc!.lower, 12);
  });
  it('value is the mean of the seeds, the spread their sample deviation; seeds that disagree widen the interval', () => {
    const perSeed = [s1, s2, s3].flatMap((s, i) => {
      const own = [cell('eagrl', [columns(s)])];
      return rowsOf(new Draws(labels, own, options), own, i);
    });
    const aurocs = perSeed.map((row) => row.stats.auroc!.value);
    const mean = (aurocs[0] + aurocs[1] + aurocs[2]) / 3;
    const [row] = rowsOf(new Draws(labels, apart, options), apart, null, perSeed);
    expect(row.seed).toBeNull();
    expect(row.stats.auroc!.value).toBeCloseTo(mean, 12);
    expect(row.seed_std!.auroc).toBeCloseTo(Math.sqrt(aurocs.reduce((v, x) => v + (x - mean) ** 2, 0) / 2), 12);
    const width = (cells: CellData[]) => {
      const { lower, upper } = new Draws(labels, cells, options).of('eagrl', 'auroc')!;
      return upper - lower;
    };
    expect(width(apart)).toBeGreaterThan(1.3 * width(same));
  });
  it('what is common to two cells cancels: same answers, no difference, seeds or not', () => {
    const both = [...apart, cell('grpo', apart[0].seeds as CellColumns[])];
    const rows = rowsOf(new Draws(labels, both, options), both, null);
    expect(rows[1].difference!.auroc).toEqual({ value: 0, lower: 0, upper: 0 });
  });
  it('refuses cells with unequal numbers of seeds', () => {
    expect(() => new Draws(labels, [...apart, cell('grpo', [columns(s1)])], options)).toThrow('1 seeds');
  });
});

describe('people', () => {
  // Every patient has two stays with the same answer.
  const twice = <T>(column: readonly T[]) => column.flatMap((x) => [x, x]);
  const subjects = twice(labels.map((_, i) => `p${i}`));
  const once = ['eagrl', 'vanilla'].map((name, i) => cell(name, [columns(scores(name, 0.3 - 0.2 * i))]));
  const stays = once.map((c) => ({ ...c, seeds: c.seeds.map((s) => columns(twice(s.probabilities))) }));
  const draws = new Draws(twice(labels), stays, { ...options, subjects });

  it('intervals are those of one stay each, and differences too', () => {
    const [expected, found] = [rowsOf(new Draws(labels, once, options), once, 1), rowsOf(draws, stays, 1)];
    expect(found[0].stats.auroc!.lower).toBeCloseTo(expected[0].stats.auroc!.lower, 12);
    expect(found[1].difference!.auroc!.upper).toBeCloseTo(expected[1].difference!.auroc!.upper, 12);
    expect([draws.n, draws.people]).toEqual([2 * N, N]);
    expect(found[0]).toMatchObject({ n: 2 * N, people: N });
    expect(expected[0]).not.toHaveProperty('people');
  });
});

describe('columns', () => {
  const answers = {
    ids: ['p', 'q'],
    labels: [0, 1] as const,
    probabilities: [0.2, 0.5],
    features: [[0, 1], []],
    unknown: [1, 0],
    unread: [0, 1],
    tokens: [30, 40],
  };
  const expert = { p: [1, 2], q: [3] };
  const causal = { p: [0, 1], q: [2] };
  it('Jaccard by hand: {0, 1, an unknown name} against {1, 2} shares 1 of 4, against the truth {0, 1} 2 of 3', () => {
    expect(policyColumns(answers, true, expert, causal)).toEqual({
      probabilities: [0.2, 0.5],
      jaccard: [1 / 4, 0],
      truthJaccard: [2 / 3, 0],
      unread: [0, 1],
      tokens: [30, 40],
    });
  });
  it('bare answers name nothing; without a truth there is none to compare with', () => {
    expect(policyColumns(answers, false, expert, causal)).toMatchObject({ jaccard: null, truthJaccard: null });
    expect(policyColumns(answers, true, expert, null).truthJaccard).toBeNull();
  });
  it('the expert is compared with the truth: {1, 2} and {0, 1} share 1 of 3', () => {
    expect(givenColumns(['q', 'p'], { p: 0.3, q: 0.9 }, expert, causal)).toEqual({
      probabilities: [0.9, 0.3],
      jaccard: null,
      truthJaccard: [0, 1 / 3],
      unread: null,
      tokens: null,
    });
  });
});

describe('verdicts', () => {
  it('a contrast: the whole interval above, the whole below, or neither', () => {
    expect(decide({ lower: 0.01, upper: 0.2 }, 0)).toBe('confirmed');
    expect(decide({ lower: -0.2, upper: -0.01 }, 0)).toBe('not confirmed');
    expect(decide({ lower: 0, upper: 0.2 }, 0)).toBe('cannot be said');
    expect(decide({ lower: -0.019, upper: -0.001 }, -0.02)).toBe('confirmed');
  });
  it('patients needed, one seed: a bound 0.06 below a value of 0.02 takes nine times as many; a value on the threshold, none', () => {
    const at =
      (value: number, below: number, above: number) =>
      (people: number): Bounds => ({
        value,
        lower: value - below * Math.sqrt(100 / people),
        upper: value + above * Math.sqrt(100 / people),
      });
    expect(patientsNeeded(at(0.02, 0.061, 0.01), 0, 100)).toBe(931); // 100 (0.061 / 0.02)^2 = 930.25
    expect(patientsNeeded(at(0.02, 0.061, 0.07), 0.031, 100)).toBe(4050); // upwards: 100 (0.07 / 0.011)^2 = 4049.6
    expect(patientsNeeded(at(0, 0.1, 0.1), 0, 100)).toBe(Number.POSITIVE_INFINITY);
  });

  describe('patients needed, several seeds', () => {
    const contrast: Claim = {
      id: 'i',
      claim: 'c',
      rule: 'r',
      contrasts: [
        {
          name: 'c',
          threshold: 0,
          terms: [
            ['eagrl', 'auroc'],
            ['grpo', 'auroc'],
          ],
          of: ([x, y]) => x - y,
        },
      ],
    };
    const times = <T>(column: readonly T[], k: number) => Array.from({ length: k }, () => column).flat();
    /** The same answers of k times as many patients; three seeds of EAG-RL, one of GRPO thrice. */
    const drawsOf = (skills: readonly number[], k = 1) => {
      const seeds = skills.map((skill, i) => columns(times(scores(`patients needed ${i}`, skill), k)));
      const rival = columns(times(scores('rival', 0.16), k));
      return new Draws(times(labels, k), [cell('eagrl', seeds), cell('grpo', [rival, rival, rival])], options);
    };
    const differences = (draws: Draws) => judge(draws, [contrast])[0];
    const seedBySeed = (skills: readonly number[]) =>
      skills.map((skill, i) => auroc(labels, scores(`patients needed ${i}`, skill)) - auroc(labels, scores('rival', 0.16)));

    it('seeds on one side of the threshold: the cohort so many times over is decided, two thirds of that are not', () => {
      const skills = [0.18, 0.2, 0.2];
      expect(Math.min(...seedBySeed(skills))).toBeGreaterThan(0);
      const verdict = differences(drawsOf(skills));
      const [{ decision, value, patients_needed: needed }] = verdict.evidence;
      expect([decision, value > 0]).toEqual(['cannot be said', true]);
      const k = (needed as number) / N;
      expect(k).toBeGreaterThan(4);
      expect(differences(drawsOf(skills, Math.ceil(1.3 * k))).decision).toBe('confirmed');
      expect(differences(drawsOf(skills, Math.floor(0.7 * k))).decision).toBe('cannot be said');
      expect(verdict.needed).toBe(`about ${needed} test patients: if the differences stay what they are, the claim is then confirmed`);
    });
    it('one seed of three on the other side: no number of patients, however small the spread against their part', () => {
      const skills = [0.13, 0.24, 0.27];
      expect(seedBySeed(skills).map(Math.sign).sort()).toEqual([-1, 1, 1]);
      const verdict = differences(drawsOf(skills));
      const [{ value, decision, patients_needed: needed }] = verdict.evidence;
      expect([value > 0, decision, needed]).toEqual([true, 'cannot be said', null]);
      expect(verdict.needed).toBe(
        'more seeds: the differences of these 3 spread so far that no number of test patients makes it confirmed',
      );
      expect(differences(drawsOf(skills, 20)).decision).toBe('cannot be said');
    });
  });

  const strong = cell('eagrl', [columns(scores('s', 0.4))]);
  const weak = (name: string) => cell(name, [columns(scores(name, 0))]);
  const best = CLAIMS.filter((c) => c.id === 'best');
  const rivals = ['vanilla', 'features', 'decompose', 'sft_answer', 'grpo', 'dapo'];
  const judged = (cells: CellData[], claims: readonly Claim[] = best) => judge(new Draws(labels, cells, options), claims)[0];

  it('best everywhere: confirmed against noise, twelve contrasts', () => {
    const verdict = judged([strong, ...rivals.map(weak)]);
    expect(verdict.decision).toBe('confirmed');
    expect(verdict.evidence).toHaveLength(12);
    expect(verdict.evidence.every((e) => e.lower > 0)).toBe(true);
  });
  it('one rival that is surely better decides, also while others are missing', () => {
    const verdict = judged([weak('eagrl'), cell('grpo', [columns(scores('s', 0.4))])]);
    expect(verdict.decision).toBe('not confirmed');
    expect(verdict.missing).toEqual(['vanilla', 'features', 'decompose', 'sft_answer', 'dapo']);
  });
  it('a missing rival keeps a yes back, and is named', () => {
    const verdict = judged([strong, ...rivals.slice(1).map(weak)]);
    expect(verdict.decision).toBe('cannot be said');
    expect(verdict.needed).toBe('the cells vanilla');
  });
  it('a rival that is as good: cannot be said, and no number of patients would settle a difference of 0', () => {
    const verdict = judged([strong, ...rivals.slice(1).map(weak), cell('vanilla', strong.seeds as CellColumns[])]);
    expect(verdict.decision).toBe('cannot be said');
    expect(verdict.needed).toContain('no number of patients');
  });
  it('patients needed: one contrast below its threshold is enough for a no, a yes needs all of them', () => {
    const contrast = (shift: number) => ({
      name: 'c',
      threshold: shift,
      terms: [['eagrl', 'auroc']] as const,
      of: ([x]: readonly number[]) => x,
    });
    const draws = new Draws(labels, [cell('eagrl', [columns(scores('s', 0.1))])], options);
    const { value, lower, upper } = draws.of('eagrl', 'auroc')!;
    const needed = (...thresholds: readonly number[]) =>
      judge(draws, [{ id: 'i', claim: 'c', rule: 'r', contrasts: thresholds.map(contrast) }])[0].needed;
    const patients = (threshold: number) => {
      const bound = threshold < value ? lower : upper;
      return Math.ceil(N * ((bound - value) / (threshold - value)) ** 2);
    };
    const [near, far] = [value - 0.001, value - 0.01];
    expect(needed(near, far)).toBe(
      `about ${patients(near)} test patients: if the differences stay what they are, the claim is then confirmed`,
    );
    const above = value + 0.005;
    expect(needed(near, above)).toContain(
      `about ${patients(above)} test patients: if the differences stay what they are, the claim is then not`,
    );
  });
  it('the average gain, by hand: relative gains of AUROC and AUPRC', () => {
    const cells = [strong, weak('decompose')];
    const draws = new Draws(labels, cells, options);
    const [gain] = judge(
      draws,
      CLAIMS.filter((c) => c.id === 'gain'),
    );
    const value = (name: string, stat: 'auroc' | 'auprc') => draws.of(name, stat)!.value;
    const relative = (stat: 'auroc' | 'auprc') => value('eagrl', stat) / value('decompose', stat) - 1;
    expect(gain.evidence[0].value).toBeCloseTo((relative('auroc') + relative('auprc')) / 2, 12);
    expect(gain.decision).toBe('confirmed');
  });
  it('stages: the sign says which removal hurts more', () => {
    const stages = CLAIMS.filter((c) => c.id === 'stages');
    const good = columns(scores('s', 0.4));
    const bad = columns(scores('n', 0));
    expect(judged([strong, cell('no_stage1', [good]), cell('stage1', [bad])], stages).decision).toBe('confirmed');
    expect(judged([strong, cell('no_stage1', [bad]), cell('stage1', [good])], stages).decision).toBe('not confirmed');
  });
  it('robust: the same answers in any order confirm it, but not for a policy at chance', () => {
    const robust = CLAIMS.filter((c) => c.id === 'robust');
    const shuffled = (of: CellColumns) => ['shuffled_20', 'shuffled_40', 'shuffled_60', 'shuffled_100'].map((name) => cell(name, [of]));
    expect(judged([strong, ...shuffled(strong.seeds[0])], robust).decision).toBe('confirmed');
    const chance = columns(labels.map(() => 0.5));
    expect(judged([cell('eagrl', [chance]), ...shuffled(chance)], robust).decision).toBe('cannot be said');
    expect(judged([strong, ...shuffled(columns(scores('n', 0)))], robust).decision).toBe('not confirmed');
  });
  it('another hospital cannot be said from one cohort', () => {
    expect(
      judged(
        [strong],
        CLAIMS.filter((c) => c.id === 'transfer'),
      ),
    ).toMatchObject({ decision: 'cannot be said', evidence: [], missing: ['transfer_in', 'decompose'] });
  });
});

describe('experts', () => {
  // Three features; each member attends to those it is given, in their order.
  const ids = labels.map((_, i) => `p${i}`);
  const cohort: Cohort = {
    name: 'made',
    task: 'mortality',
    features: ['a', 'b', 'c'].map((name) => ({ key: name, name })),
    patients: ids.map((id, i) => ({ id, sex: 'male', age: 50, visitTimes: [0], values: [[1], [1], [1]], label: labels[i] as 0 | 1 })),
    splits: { train: [], val: [], test: ids },
    truth: { causal: Object.fromEntries(ids.map((id) => [id, ['a', 'b']])), bayes: {} },
  };
  const member = (name: string, attention: readonly number[]): Member => ({
    valAuroc: 0.8,
    epochs: 3,
    probabilities: scores(name, 0.3),
    attention: ids.flatMap(() => [...attention, 0]),
  });
  const [ab, bc] = [member('m1', [0.5, 0.4, 0.1]), member('m2', [0.1, 0.6, 0.3])];
  const rows = (seeds: readonly (readonly Member[])[]) =>
    expertRows([{ label: 'GRU', cohort, topK: 2, seeds: seeds.map((members, i) => ({ seed: i, members })) }]);

  it('metrics of members and of their mean, agreement of two members and of two seeds, and with the truth', () => {
    const [first, second] = rows([
      [ab, bc],
      [bc, bc],
    ]);
    expect(first).toMatchObject({ label: 'GRU', seed: 0, members: 2, stability: expect.closeTo(1 / 3, 12), truth: 1 }); // {a, b} and {b, c}: 1 of 3
    expect(second).toMatchObject({ stability: 1, truth: expect.closeTo(1 / 3, 12), seedStability: expect.closeTo(1 / 3, 12) });
    const both = ids.map((_, i) => (ab.probabilities[i] + bc.probabilities[i]) / 2);
    expect(first.ensembleAuroc).toBeCloseTo(auroc(labels, both), 12);
    expect(first.auroc).toBeCloseTo((auroc(labels, ab.probabilities) + auroc(labels, bc.probabilities)) / 2, 12);
    expect(first.ece).toBeCloseTo(
      (expectedCalibrationError(labels, ab.probabilities) + expectedCalibrationError(labels, bc.probabilities)) / 2,
      12,
    );
    expect(first.ensembleEce).toBeCloseTo(expectedCalibrationError(labels, both), 12);
    expect(expertTable([first]).body[0]).toEqual(['GRU', '0', '2', '0.800', ...expertTable([first]).body[0].slice(4)]);
  });
  it('one member, one seed: no agreement to state', () => {
    expect(rows([[ab]])[0]).toMatchObject({ stability: null, seedStability: null });
    expect(expertTable(rows([[ab]])).body[0].filter((cellText) => cellText === '-')).toHaveLength(2);
  });
});

it('cost by phase: sums of the pieces, rate over their time', () => {
  expect(phaseTable(costs).body).toEqual([
    ['expert', '1', '2.0', '0', '4.0', '2.0'],
    ['rl', '2', '6.0', '300', '12.0', '2.0'],
    ['all', '3', '8.0', '300', '16.0', '2.0'],
  ]);
});

describe('tables, figures, document', () => {
  const named = { jaccard: labels.map(() => 0.25), unread: labels.map((_, i) => (i % 8 === 0 ? 1 : 0)), tokens: labels.map(() => 50) };
  const cells = [
    cell('vanilla', [columns(scores('v', 0.05), { unread: named.unread, tokens: named.tokens })]),
    cell('eagrl', [columns(scores('s', 0.3), named)]),
    cell('no_adaptive', [columns(scores('f', 0.2), named)], 'ablation'),
    cell('shuffled_20', [columns(scores('x', 0.2), named)], 'robustness'),
  ];
  const draws = new Draws(labels, cells, options);
  const rows: Row[] = rowsOf(draws, cells, 42);

  it('Markdown: a row per cell of the group, its numbers rounded from the rows, EAG-RL above other groups', () => {
    const lines = markdown(groupTable(rows, 'method')).trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[1]).toMatch(/^\| --- \| ---: /);
    const { value, lower, upper } = rows[0].stats.auroc!;
    expect(lines[2]).toContain(`| the vanilla | ${value.toFixed(3)} [${lower.toFixed(3)}, ${upper.toFixed(3)}] |`);
    expect(lines[2]).toContain('| - | 12.5 % |'); // no features named; 10 of 80 unread
    expect(lines[3]).toMatch(/\| 0\.250 \| 12\.5 % \| - \| - \|$/);
    expect(groupRows(rows, 'ablation').map((r) => r.cell)).toEqual(['eagrl', 'no_adaptive']);
    expect(groupTable(rows, 'ablation').body[0]).toHaveLength(groupTable(rows, 'ablation').head.length);
  });
  it('pooled rows are shown alone, with their spread', () => {
    const pooled = rows.map((row) => ({ ...row, seed: null, seed_std: { auroc: 0.0123 } }));
    expect(headRows([...pooled, ...rows])).toEqual(pooled);
    expect(groupTable([...pooled, ...rows], 'method').head[2]).toBe('SD over seeds');
    expect(groupTable([...pooled, ...rows], 'method').body[0][2]).toBe('0.012');
  });
  it('LaTeX and CSV escape what they must', () => {
    const table = { head: ['a_b', '95 %'], body: [['x & "y", z', '-0.100 [-0.200, +0.010]']] };
    expect(latex(table)).toBe(
      '\\begin{tabular}{lr}\n\\toprule\na\\_b & 95 \\% \\\\\n\\midrule\nx \\& "y", z & $-$0.100 [$-$0.200, +0.010] \\\\\n\\bottomrule\n\\end{tabular}\n',
    );
    expect(csv(table)).toBe('a_b,95 %\n"x & ""y"", z","-0.100 [-0.200, +0.010]"\n');
  });
  it('rows.csv holds every number unrounded', () => {
    const line = longCsv(rows)
      .split('\n')
      .find((l) => l.startsWith('no_adaptive,') && l.includes(',auprc,'))!;
    const { stats, difference } = rows[2];
    expect(line.split(',').slice(6, 9).map(Number)).toEqual([stats.auprc!.value, stats.auprc!.lower, stats.auprc!.upper]);
    expect(line.split(',').slice(10).map(Number)).toEqual([difference!.auprc!.value, difference!.auprc!.lower, difference!.auprc!.upper]);
  });
  it('ticks cover the range with round steps', () => {
    expect(ticks(0.52, 0.97)).toEqual([0.5, 0.6, 0.7, 0.8, 0.9, 1]);
    expect(ticks(-0.031, 0.022)).toEqual([-0.04, -0.02, 0, 0.02, 0.04]);
  });
  it('figures: one per group there is, grey alone, every label and no broken number', () => {
    const figures = figuresOf(rows);
    expect(Object.keys(figures)).toEqual(['methods.svg', 'ablations.svg', 'robustness.svg']);
    for (const svg of Object.values(figures)) {
      expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      for (const [, colour] of svg.matchAll(/(?:fill|stroke)="(#[0-9a-f]+)"/g)) expect(colour).toMatch(/^#(.)\1\1$/);
    }
    expect(figures['methods.svg']).toContain('the vanilla');
    // However long a label is, it begins inside the figure; 6.2 px is the mean width of its characters.
    const long = 'a label of sixty characters, which is longer than any there is';
    const { 'methods.svg': wide } = figuresOf(rows.map((row) => ({ ...row, label: long })));
    const [, x] = new RegExp(`<text x="([\\d.]+)"[^>]*>${long}`).exec(wide) ?? [];
    expect(Number(x)).toBeGreaterThan(6.2 * long.length);
    expect(figuresOf(rows.slice(0, 2))).not.toHaveProperty('robustness.svg');
  });
  it('REPRODUCTION.md: each claim with its verdict and numbers, no place of this machine', () => {
    const reproduction: Reproduction = {
      cohort: { name: 'tjh', task: 'mortality', synthetic: false, patients: { train: 10, val: 5, test: N }, digest: 'd' },
      model_digest: 'm',
      seeds: [42],
      num_bootstrap: 200,
      devices: ['wasm'],
      rows,
      experts: [],
      verdicts: judge(draws),
    };
    const config = resolveConfig({
      data: { kind: 'tjh', path: '/home/somebody/a.xlsx', split: '/home/somebody/b.json' },
      output_dir: '/home/somebody/out',
    });
    const text = reproductionMarkdown(reproduction, config, phaseTable(costs));
    for (const { claim, decision, evidence } of reproduction.verdicts) {
      expect(text).toContain(`| ${claim} | ${decision} |`);
      expect(text).toContain(`### ${claim}: **${decision}**`);
      for (const e of evidence) expect(text).toContain(`${e.name}: ${e.value < 0 ? '-' : '+'}${Math.abs(e.value).toFixed(3)} [`);
    }
    expect(text).toContain('80 test patients, 33.8 % positive');
    const stays = { ...reproduction, rows: rows.map((row) => ({ ...row, people: 70 })) };
    expect(reproductionMarkdown(stays, config, phaseTable(costs))).toContain('80 test stays of 70 patients, 33.8 % positive');
    expect(text).not.toContain('somebody');
    expect(text).toContain('| the eagrl (`eagrl`) |');
    // Published figures are of 200 certain patients: beside ours where ours are those, and nowhere else.
    expect(text).not.toContain('ConCare | 91.0');
    const same = { ...reproduction, cohort: { ...reproduction.cohort, patients: { train: 140, val: 21, test: 200 } } };
    const percents = ({ value, lower, upper }: Bounds) => [
      `${(100 * value).toFixed(1)} [${(100 * lower).toFixed(1)}, ${(100 * upper).toFixed(1)}]`,
    ];
    const beside = reproductionMarkdown(same, config, phaseTable(costs));
    expect(beside).toContain('| ConCare | 91.0 | 91.7 | - | - |');
    const { auroc: ours, auprc } = rows[1].stats;
    expect(beside).toContain(`| this policy: the eagrl | - | - | ${percents(ours!)} | ${percents(auprc!)} |`);
    const early = { ...config, data: { ...config.data, horizon_days: 3 } };
    expect(reproductionMarkdown(same, early, phaseTable(costs))).not.toContain('ConCare | 91.0');
  });
});
