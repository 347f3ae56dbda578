/**
 * The table a test run ends with: which kernels ran how many cases on which backend. A test counts when its title names a backend
 * (`softmax_fwd webgpu rows=2 cols=64`), as those of `testKernel` do; what did not pass is not counted.
 */
import type { Reporter, TestModule } from 'vitest/node';

const BACKENDS = ['wasm', 'wasm-relaxed', 'webgpu'] as const;

export default class CoverageReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<string, Map<string, number>>();
    for (const module of modules) {
      const kernel = /kernels\/src\/(\w+)\//.exec(module.moduleId)?.[1];
      if (!kernel) continue;
      for (const test of module.children.allTests('passed')) {
        const backend = BACKENDS.find((b) => test.name.split(' ')[1] === b);
        if (!backend) continue;
        const row = counts.get(kernel) ?? new Map<string, number>();
        counts.set(kernel, row.set(backend, (row.get(backend) ?? 0) + 1));
      }
    }
    if (counts.size === 0) return;
    const cell = (n: number | undefined) => String(n ?? '-').padStart(13);
    const lines = [...counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([kernel, row]) => kernel.padEnd(18) + BACKENDS.map((b) => cell(row.get(b))).join(''));
    const total = BACKENDS.map((b) => [...counts.values()].reduce((sum, row) => sum + (row.get(b) ?? 0), 0));
    process.stdout.write(
      `\n${['cases passed'.padEnd(18) + BACKENDS.map((b) => b.padStart(13)).join(''), ...lines, 'all'.padEnd(18) + total.map(cell).join('')].join('\n')}\n`,
    );
  }
}
