// Is the adapter that tests will see the one meant: lavapipe, with subgroups of 8 and f16 and subgroup matrices? Says what it is, exit code 1 if not.
import { createRequire } from 'node:module';

const { create, globals } = createRequire(new URL('../../runtime/package.json', import.meta.url))('webgpu');
Object.assign(globalThis, globals);
const gpu = create(['enable-dawn-features=allow_unsafe_apis']);
const adapter = await gpu.requestAdapter();
const { description, subgroupMinSize, subgroupMaxSize } = adapter?.info ?? {};
const wanted = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
const lacks = wanted.filter((feature) => !adapter?.features.has(feature));
console.log(`adapter: ${description ?? 'none'}, subgroups of ${subgroupMinSize} to ${subgroupMaxSize}`);
const wrong = [];
if (!/llvmpipe/.test(description)) wrong.push('expected llvmpipe');
if (subgroupMinSize !== 8 || subgroupMaxSize !== 8)
  wrong.push('expected subgroups of 8: a CPU with AVX, and LP_NATIVE_VECTOR_WIDTH 256 or not set');
if (lacks.length > 0) wrong.push(`the adapter lacks ${lacks.join(', ')}`);
for (const text of wrong) console.error(`lavapipe: ${text}`);
process.exit(wrong.length === 0 ? 0 : 1);
