// Is the adapter that tests will see the one meant: lavapipe, with subgroups of 8 and f16? Says what it is, exit code 1 if not.
import { createRequire } from 'node:module';

const { create, globals } = createRequire(new URL('../../runtime/package.json', import.meta.url))('webgpu');
Object.assign(globalThis, globals);
const gpu = create([]);
const adapter = await gpu.requestAdapter();
const { description, subgroupMinSize, subgroupMaxSize } = adapter?.info ?? {};
const fit = /llvmpipe/.test(description) && adapter.features.has('shader-f16') && adapter.features.has('subgroups');
console.log(`adapter: ${description ?? 'none'}, subgroups of ${subgroupMinSize} to ${subgroupMaxSize}`);
if (!fit) console.error('lavapipe: expected llvmpipe with shader-f16 and subgroups');
process.exit(fit ? 0 : 1);
