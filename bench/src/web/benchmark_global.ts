/** In a browser benchmark.js compiles what it times through a script tag, which sees it as a global only. */
import Benchmark from 'benchmark';

Object.assign(globalThis, { Benchmark });
