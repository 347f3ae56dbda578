/**
 * Plan: the dictionary is complete and unambiguous, and its ranges make sense with the flags.
 * - 73 TJH labs, 17 MIMIC-IV variables; names and aliases unique after folding, short, without commas
 * - both flag levels exist on each side that a range has; limits count as within range
 */

import { describe, expect, it } from 'vitest';
import { featureOf, LABS, labByName, labOfMimic, labOfTjh } from './lab_dictionary.ts';
import { foldName } from './names.ts';
import { farLimits, flagOf, latest, rangeOf } from './range.ts';

describe('lab dictionary', () => {
  it('has about 100 labs, every one of the 73 of TJH and the 17 of MIMIC-IV', () => {
    expect(LABS.length).toBeGreaterThanOrEqual(95);
    expect(LABS.filter((lab) => lab.tjh !== undefined)).toHaveLength(73);
    expect(LABS.filter((lab) => lab.mimic !== undefined)).toHaveLength(17);
  });

  it('has unique names and aliases after folding', () => {
    const names = LABS.flatMap((lab) => [...new Set([lab.name, ...lab.aliases].map(foldName))]);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  it('has short names without comma or digits glued to a space', () => {
    for (const { name } of LABS) expect(name).toMatch(/^[A-Za-z][^,:;]{1,29}$/);
  });

  it('has ordered ranges, low below high, for each sex', () => {
    for (const lab of LABS) {
      for (const sex of ['male', 'female'] as const) {
        const { low, high } = rangeOf(featureOf(lab), sex);
        if (low === undefined && high === undefined) expect.fail(`${lab.name} has no range`);
        if (low !== undefined && high !== undefined) expect(low).toBeLessThan(high);
      }
    }
  });

  it('finds labs by alias, raw TJH column and MIMIC-IV variable', () => {
    expect(labByName('LDH')?.name).toBe('lactate dehydrogenase');
    expect(labOfTjh('Tumor necrosis factorα ')?.name).toBe('tumor necrosis factor');
    expect(labOfTjh('γ-glutamyl transpeptidase')?.name).toBe('gamma-glutamyl transferase');
    expect(labOfTjh('D-D dimer')?.name).toBe('D-dimer');
    expect(labOfTjh('DD dimer')?.name).toBe('D-dimer');
    expect(labOfMimic('Glucose')?.unit).toBe('mg/dL');
    expect(labOfTjh('glucose')?.unit).toBe('mmol/L');
    expect(labByName('shoe size')).toBeUndefined();
  });
});

describe('flags', () => {
  it.each([
    [280, 140, 280, ''],
    [280.1, 140, 280, 'H'],
    [350, 140, 280, 'H'],
    [350.1, 140, 280, 'HH'],
    [140, 140, 280, ''],
    [139, 140, 280, 'L'],
    [69, 140, 280, 'LL'],
    [28, undefined, 14, 'H'],
    [28.1, undefined, 14, 'HH'],
    [45, 90, undefined, 'L'],
    [44.9, 90, undefined, 'LL'],
    [-1e9, undefined, 14, ''],
  ])('%f in %s..%s is "%s"', (value, low, high, flag) => {
    expect(flagOf(value, { low, high })).toBe(flag);
  });

  it('knows female ranges', () => {
    const hemoglobin = featureOf(labByName('hemoglobin') ?? expect.fail('no hemoglobin'));
    expect(flagOf(130, rangeOf(hemoglobin, 'male'))).toBe('L');
    expect(flagOf(130, rangeOf(hemoglobin, 'female'))).toBe('');
  });

  it('has a far limit beyond each limit', () => {
    for (const lab of LABS) {
      const far = farLimits(lab);
      if (lab.high !== undefined) expect(far.high).toBeGreaterThan(lab.high);
      if (lab.low !== undefined && lab.low > 0) expect(far.low).toBeLessThan(lab.low);
    }
  });

  it('latest skips missing values', () => {
    expect(latest([1, null, 2, null])).toBe(2);
    expect(latest([null])).toBeNull();
  });
});
