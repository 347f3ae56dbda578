/** The plots of the report as SVG text, by ECharts without a DOM. Colours are CSS variables of report.ts. */
import { BarChart, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, LegendComponent } from 'echarts/components';
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Floor } from '../floor/floor.ts';
import type { Row } from '../lib/report.ts';

use([LineChart, BarChart, ScatterChart, GridComponent, LegendComponent, SVGRenderer]);

const INK = 'var(--ink)';
const SOFT = 'var(--soft)';
const LINE = 'var(--line)';
const OURS = 'var(--ours)';
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';
/** One per series, told apart by shape as well as by colour. */
const COLOURS = ['var(--s1)', 'var(--s2)', 'var(--s3)', 'var(--s4)', 'var(--s5)', 'var(--s6)'];
const SYMBOLS = ['circle', 'rect', 'triangle', 'diamond', 'emptyCircle', 'emptyRect'];

function svg(width: number, height: number, option: EChartsCoreOption, label: string): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  chart.setOption({ animation: false, textStyle: { fontFamily: FONT, color: INK }, ...option });
  const text = chart.renderToSVGString();
  chart.dispose();
  return text.replace('<svg ', `<svg role="img" aria-label="${label}" `);
}

const short = (x: number): string => (x >= 1e4 || (x > 0 && x < 1e-3) ? x.toExponential(0) : String(Number(x.toPrecision(3))));

function axis(name: string, side: 'x' | 'y', type: 'log' | 'value', range: { min?: number; max?: number } = {}): Record<string, unknown> {
  return {
    type,
    name,
    nameLocation: 'middle',
    nameGap: side === 'x' ? 28 : 46,
    nameTextStyle: { color: SOFT, fontSize: 12 },
    ...range,
    axisLine: { show: true, onZero: false, lineStyle: { color: SOFT } },
    axisTick: { show: false },
    axisLabel: { color: SOFT, fontSize: 11, formatter: short },
    splitLine: { show: true, lineStyle: { color: LINE } },
  };
}

/** The gap is wide because ECharts without a DOM guesses how long a text is. */
const legend = { bottom: 0, itemWidth: 26, itemHeight: 9, itemGap: 34, textStyle: { color: INK, fontSize: 12 } };
const decade = (x: number, up: boolean) => 10 ** (up ? Math.ceil(Math.log10(x)) : Math.floor(Math.log10(x)));

/**
 * Rates over arithmetic intensity for one provider: what the floors allow (the copy bandwidth of the slowest and of the fastest memory,
 * the multiply-add rate), and where its kernels are.
 */
export function roofline(provider: string, rows: readonly Row[], floor: Floor): string {
  const own = rows.filter((r) => r.provider === provider && (r.gflops ?? 0) > 0 && (r.intensity ?? 0) > 0);
  if (own.length === 0) return '';
  const x = own.map((r) => r.intensity ?? 1);
  const y = own.map((r) => r.gflops ?? 1);
  const [lo, hi] = [decade(Math.min(...x), false), decade(Math.max(...x) * 1.01, true)];
  const roof = (gbps: number) => {
    const knee = floor.gflops / gbps;
    return [lo, ...(knee > lo && knee < hi ? [knee] : []), hi].map((i) => [i, Math.min(floor.gflops, i * gbps)]);
  };
  const rates = floor.copies.map((c) => c.gbps);
  const [slow, fast] = [floor.copies[floor.copies.length - 1]?.gbps ?? Math.min(...rates), Math.max(...rates)];
  const line = (name: string, gbps: number, type: string) => ({
    name,
    type: 'line',
    data: roof(gbps),
    symbol: 'none', // else the legend draws one over the dashes
    lineStyle: { color: SOFT, width: 1.5, type },
    itemStyle: { color: SOFT },
  });
  const kernels = [...new Set(own.map((r) => r.kernel))];
  /** Only the kernel's largest rate is named: more names would hide the points. */
  const named = new Set(
    kernels.map((k) => own.filter((r) => r.kernel === k).reduce((a, r) => ((r.gflops ?? 0) > (a.gflops ?? 0) ? r : a))),
  );
  /** Near the right edge a name stands on the other side. */
  const edge = hi * (lo / hi) ** 0.2;
  const points = own.map((r) => ({
    value: [r.intensity, r.gflops],
    label: { show: named.has(r), formatter: r.kernel, position: (r.intensity ?? 1) > edge ? 'left' : 'right', fontSize: 10, color: INK },
  }));
  return svg(
    520,
    360,
    {
      grid: { left: 62, right: 24, top: 14, bottom: 66 },
      legend,
      xAxis: axis('flops per byte', 'x', 'log', { min: lo, max: hi }),
      yAxis: axis('GFLOP/s', 'y', 'log', { min: decade(Math.min(...y), false), max: decade(floor.gflops * 1.01, true) }),
      series: [
        line('copy, large', slow, 'solid'),
        line('copy, best', fast, 'dashed'),
        {
          name: 'kernels',
          type: 'scatter',
          data: points,
          symbolSize: 6,
          itemStyle: { color: OURS },
          labelLayout: { hideOverlap: true },
        },
      ],
    },
    `Roofline of ${provider}`,
  );
}

/** Time of one case by provider, ours first and in another colour; what was wrong or did not run has no bar but its name. */
export function peerBars(rows: readonly Row[], isOurs: (r: Row) => boolean): string {
  const order = [...rows].sort((a, b) => (b.median_ms ?? 0) - (a.median_ms ?? 0));
  return svg(
    520,
    34 + 24 * order.length,
    {
      grid: { left: 128, right: 84, top: 4, bottom: 26 },
      xAxis: { ...axis('', 'x', 'value', { min: 0 }), splitNumber: 4 },
      yAxis: {
        type: 'category',
        data: order.map((r) => r.provider),
        axisTick: { show: false },
        axisLine: { lineStyle: { color: SOFT } },
        axisLabel: { color: INK, fontSize: 12 },
      },
      series: [
        {
          type: 'bar',
          barWidth: 14,
          data: order.map((r) => ({
            value: r.median_ms ?? 0,
            itemStyle: { color: isOurs(r) ? OURS : 'var(--peer)' },
            label: {
              show: true,
              position: 'right',
              color: INK,
              fontSize: 11,
              formatter: r.median_ms === null ? 'wrong' : `${short(r.median_ms)} ms`,
            },
          })),
        },
      ],
    },
    `Time of ${rows[0].kernel} by provider, milliseconds`,
  );
}

export interface Series {
  readonly name: string;
  /** (x, y), ascending in x. */
  readonly points: readonly (readonly [number, number])[];
  /** Drawn dashed and grey: what could be at best. */
  readonly ideal?: boolean;
}

/** Lines over a logarithmic x. */
export function scaling(xName: string, yName: string, series: readonly Series[], label: string): string {
  const xs = series.flatMap((s) => s.points.map(([x]) => x));
  return svg(
    520,
    320,
    {
      grid: { left: 62, right: 24, top: 14, bottom: 70 },
      legend,
      xAxis: axis(xName, 'x', 'log', { min: Math.min(...xs), max: Math.max(...xs) }),
      yAxis: axis(yName, 'y', 'value', { min: 0 }),
      series: series.map((s, i) => ({
        name: s.name,
        type: 'line',
        data: s.points,
        symbol: s.ideal ? 'none' : SYMBOLS[i % SYMBOLS.length],
        symbolSize: 7,
        lineStyle: { color: s.ideal ? SOFT : COLOURS[i % COLOURS.length], type: s.ideal ? 'dashed' : 'solid', width: 2 },
        itemStyle: { color: s.ideal ? SOFT : COLOURS[i % COLOURS.length] },
      })),
    },
    label,
  );
}
