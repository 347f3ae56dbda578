/** Line and bar charts as SVG text, by ECharts without a DOM. Colours: CSS variables of theme.ts. */
import { BarChart, LineChart } from 'echarts/charts';
import { GridComponent, LegendComponent } from 'echarts/components';
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { calibrationBins, prCurve, rocCurve } from '../metrics/classification.ts';
import type { MetricRecord } from '../run/metrics_logger.ts';
import type { FeatureFrequency, Predictions, ReportData } from './report_data.ts';
import { EVAL_LABELS, EVAL_NAMES, type EvalName } from './summary.ts';
import { SERIES } from './theme.ts';

use([LineChart, BarChart, GridComponent, LegendComponent, SVGRenderer]);

const INK = 'var(--ink)';
const SOFT = 'var(--soft)';
const LINE = 'var(--line)';
const WIDTH = 510;
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';

function svg(height: number, option: EChartsCoreOption, label: string): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption({ animation: false, textStyle: { fontFamily: FONT, color: INK }, ...option });
  const text = chart.renderToSVGString();
  chart.dispose();
  // Fills come from the page's CSS; ECharts' own width and height would fix the size on narrow screens.
  return text.replace('<svg ', `<svg role="img" aria-label="${label}" `);
}

interface AxisOptions {
  readonly min?: number;
  readonly max?: number;
  readonly decimals?: number;
  readonly interval?: number;
}

function valueAxis(name: string, side: 'x' | 'y', { min, max, decimals, interval }: AxisOptions = {}): Record<string, unknown> {
  return {
    type: 'value',
    name,
    nameLocation: 'middle',
    nameGap: side === 'x' ? 26 : 38,
    nameTextStyle: { color: SOFT, fontSize: 12 },
    min: min ?? 'dataMin',
    max: max ?? 'dataMax',
    ...(interval === undefined ? {} : { interval }),
    // Labels without decimals are of whole numbers.
    ...(decimals === 0 ? { minInterval: 1 } : {}),
    axisLine: { show: true, lineStyle: { color: SOFT } },
    axisTick: { show: false },
    axisLabel: {
      color: SOFT,
      fontSize: 11,
      ...(decimals === undefined ? {} : { formatter: (value: number) => value.toFixed(decimals) }),
    },
    splitLine: { show: side === 'y', lineStyle: { color: LINE } },
  };
}

function curveSeries(name: EvalName, points: readonly (readonly [number, number])[], step = false): Record<string, unknown> {
  const { color, width, dash } = SERIES[name];
  return {
    name: EVAL_LABELS[name],
    type: 'line',
    data: points,
    showSymbol: false,
    ...(step ? { step: 'start' } : {}),
    lineStyle: { color, width, type: dash },
    itemStyle: { color },
    z: name === 'stage2' ? 5 : 3,
  };
}

function guide(points: readonly (readonly [number, number])[]): Record<string, unknown> {
  return { type: 'line', data: points, showSymbol: false, silent: true, lineStyle: { color: SOFT, width: 1, type: [2, 4] }, z: 1 };
}

export function present(predictions: ReportData['predictions']): [EvalName, Predictions][] {
  return EVAL_NAMES.flatMap((name): [EvalName, Predictions][] => {
    const found = predictions[name];
    return found === undefined ? [] : [[name, found]];
  });
}

const unit = { min: 0, max: 1, interval: 0.2, decimals: 1 };
const grid = { left: 52, right: 14, top: 10, bottom: 44 };

/** Series over 0..1 both ways, above the diagonal's dotted line. */
function unitSquare(x: string, y: string, series: readonly object[], label: string): string {
  const diagonal = guide([
    [0, 0],
    [1, 1],
  ]);
  const axes = { xAxis: valueAxis(x, 'x', unit), yAxis: valueAxis(y, 'y', unit) };
  return svg(470, { grid, ...axes, series: [...series, diagonal] }, label);
}

export function rocChart(predictions: ReportData['predictions']): string {
  const series = present(predictions).map(([name, p]) =>
    curveSeries(
      name,
      rocCurve(p.labels, p.scores).map((point) => [point.fpr, point.tpr]),
    ),
  );
  return unitSquare('1 - specificity', 'sensitivity', series, 'ROC curves');
}

/** Drawn as steps: precision between two operating points is not a straight line. */
export function prChart(predictions: ReportData['predictions'], prevalence: number): string {
  const series = present(predictions).map(([name, p]) =>
    curveSeries(
      name,
      prCurve(p.labels, p.scores).map((point) => [point.recall, point.precision]),
      true,
    ),
  );
  const chance = guide([
    [0, prevalence],
    [1, prevalence],
  ]);
  return svg(
    470,
    {
      grid,
      xAxis: valueAxis('recall', 'x', unit),
      yAxis: valueAxis('precision', 'y', unit),
      series: [...series, chance],
    },
    'Precision-recall curves',
  );
}

export function calibrationChart(predictions: ReportData['predictions']): string {
  const shown: readonly EvalName[] = ['zero_shot', 'stage1', 'stage2', 'expert'];
  const series = present(predictions)
    .filter(([name]) => shown.includes(name))
    .map(([name, p]) => {
      const bins = calibrationBins(p.labels, p.scores);
      const largest = Math.max(...bins.map((bin) => bin.count));
      return {
        ...curveSeries(
          name,
          bins.map((bin) => [bin.meanScore, bin.fractionPositive]),
        ),
        showSymbol: true,
        ...(SERIES[name].symbol === 'emptyCircle'
          ? { symbol: 'circle', itemStyle: { color: 'var(--paper)', borderColor: SERIES[name].color, borderWidth: 2 } }
          : { symbol: SERIES[name].symbol }),
        symbolSize: (_value: unknown, at: { dataIndex: number }) => 4 + 10 * Math.sqrt(bins[at.dataIndex].count / largest),
      };
    });
  return unitSquare('stated probability, mean of the bin', 'observed share of positives', series, 'Calibration');
}

type Point = readonly [step: number, value: number];

function pointsOf(records: readonly MetricRecord[], key: string): Point[] {
  return records.flatMap((record): Point[] => {
    const value = record[key];
    return typeof value === 'number' ? [[record.step, value]] : [];
  });
}

/** Centred mean over 2 * half + 1 points, fewer at the ends. */
function smooth(points: readonly Point[], half: number): Point[] {
  return points.map(([step], i) => {
    const window = points.slice(Math.max(0, i - half), i + half + 1);
    return [step, window.reduce((sum, [, value]) => sum + value, 0) / window.length];
  });
}

/** Points averaged on each side in the bold line; one step is a small sample of prompts. */
const SMOOTH_HALF = 2;

/** Decimals with which some five ticks over these values differ from each other. */
function decimalsOf(points: readonly Point[]): number {
  const values = points.map(([, value]) => value);
  const range = Math.max(...values) - Math.min(...values);
  return range > 0 ? Math.max(2, Math.ceil(-Math.log10(range / 4))) : 2;
}

/** One metric over optimiser steps: thin as logged, bold a mean of 5 steps; null when never logged. */
export function stepChart(records: readonly MetricRecord[], key: string, label: string, range: AxisOptions = {}): string | null {
  const points = pointsOf(records, key);
  if (points.length === 0) return null;
  const line = { type: 'line', showSymbol: points.length === 1 };
  return svg(
    230,
    {
      grid: { left: 52, right: 14, top: 10, bottom: 40 },
      xAxis: valueAxis('optimiser step', 'x', { decimals: 0 }),
      yAxis: {
        ...valueAxis(label, 'y', { decimals: decimalsOf(points), ...range }),
        scale: true,
        min: range.min ?? null,
        max: range.max ?? null,
      },
      series: [
        { ...line, data: points, lineStyle: { color: 'var(--two)', width: 1, opacity: 0.4 }, itemStyle: { color: 'var(--two)' } },
        { ...line, data: smooth(points, SMOOTH_HALF), lineStyle: { color: 'var(--two)', width: 2.5 }, itemStyle: { color: 'var(--two)' } },
      ],
    },
    label,
  );
}

/** Mean (bold) and range (band) of `<prefix>/{mean,min,max}` over optimiser steps; null when never logged. */
export function bandChart(records: readonly MetricRecord[], prefix: string, label: string): string | null {
  const [mean, low, high] = ['mean', 'min', 'max'].map((statistic) => pointsOf(records, `${prefix}/${statistic}`));
  if (mean.length === 0 || low.length !== mean.length || high.length !== mean.length) return null;
  const edge = { type: 'line', showSymbol: false, stack: 'band', stackStrategy: 'all', lineStyle: { opacity: 0 } };
  return svg(
    230,
    {
      grid: { left: 52, right: 14, top: 10, bottom: 40 },
      xAxis: valueAxis('optimiser step', 'x', { decimals: 0 }),
      yAxis: { ...valueAxis(label, 'y', { decimals: 2 }), scale: true, min: null, max: null },
      series: [
        { ...edge, data: low },
        { ...edge, data: high.map(([step, value], i) => [step, value - low[i][1]]), areaStyle: { color: 'var(--band)', opacity: 1 } },
        {
          type: 'line',
          showSymbol: mean.length === 1,
          data: mean,
          lineStyle: { color: 'var(--two)', width: 2.5 },
          itemStyle: { color: 'var(--two)' },
        },
      ],
    },
    label,
  );
}

/** Features drawn at most; the rest is in report_data.json. */
const MAX_BARS = 12;

/** Share of patients for whom the expert and the policy hold each feature important, most frequent of either first. */
export function featureChart(frequency: readonly FeatureFrequency[]): string {
  const rows = [...frequency]
    .sort((a, b) => Math.max(b.expert, b.stage2) - Math.max(a.expert, a.stage2))
    .slice(0, MAX_BARS)
    .sort((a, b) => a.expert - b.expert);
  const bar = (name: string, color: string, values: number[], style: Record<string, unknown> = {}): Record<string, unknown> => ({
    name,
    type: 'bar',
    data: values,
    barGap: '8%',
    barCategoryGap: '28%',
    itemStyle: { color, ...style },
  });
  const series = [
    ...(rows.some((row) => row.zero_shot !== undefined)
      ? [
          bar(
            'Policy, zero-shot',
            'var(--paper)',
            rows.map((row) => row.zero_shot ?? 0),
            { borderColor: 'var(--zero)', borderWidth: 1 },
          ),
        ]
      : []),
    bar(
      'Policy after Stage 2',
      'var(--two)',
      rows.map((row) => row.stage2),
      { opacity: 0.6 }, // lighter than the expert's bar, also without colour
    ),
    bar(
      'Expert (top K)',
      'var(--expert)',
      rows.map((row) => row.expert),
    ),
  ];
  return svg(
    88 + rows.length * 32,
    {
      grid: { left: 170, right: 14, top: 10, bottom: 66 },
      legend: {
        bottom: 0,
        itemWidth: 14,
        itemHeight: 9,
        itemGap: 22,
        textStyle: { color: INK, fontSize: 12 },
        data: series.map((s) => s.name).reverse(),
      },
      xAxis: {
        ...valueAxis('share of test patients', 'x', { min: 0, decimals: 1 }),
        max: 1,
        splitLine: { show: true, lineStyle: { color: LINE } },
      },
      yAxis: {
        type: 'category',
        data: rows.map((row) => row.name),
        axisLine: { show: true, lineStyle: { color: SOFT } },
        axisTick: { show: false },
        axisLabel: { color: INK, fontSize: 12, width: 160, overflow: 'truncate', interval: 0 },
      },
      series,
    },
    'Features of expert and policy',
  );
}
