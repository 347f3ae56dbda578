import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['@eagrl/source'] },
  ssr: { resolve: { conditions: ['@eagrl/source', 'node', 'import', 'module', 'default'] } },
  test: {
    include: ['{kernels,runtime,trainer,bench}/src/**/*.test.ts', 'test/**/*.test.ts'],
    // Dawn's native add-on and V8 flags want a process of their own, not a worker thread.
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 120_000,
    execArgv: ['--experimental-wasm-relaxed-simd'],
    reporters: ['default', './test/lib/src/coverage_reporter.ts'],
  },
});
