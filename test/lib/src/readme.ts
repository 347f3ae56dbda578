/** Runs the example of a README, so that what it claims to print is what it prints. */
import { readFileSync } from 'node:fs';
import { format } from 'node:util';

export interface ReadmeExample {
  /** The first `ts` block. */
  readonly code: string;
  /** The `text` block right after it. */
  readonly printed: string;
}

/** @throws Error when the file has no `ts` block followed by a `text` block. */
export function readmeExample(file: URL): ReadmeExample {
  const match = /```ts\n(.*?)\n```\n\n(?:[^\n]+\n\n)?```text\n(.*?)\n```/s.exec(readFileSync(file, 'utf8'));
  if (match === null) throw new Error('readmeExample: expected a ts block, then at most one line, then a text block with its output');
  return { code: match[1], printed: match[2] };
}

/**
 * Runs `code` with its imports taken from `modules` and returns what it printed by console.log. The code must be JavaScript but for
 * the language tag: no types, one import statement per module.
 */
export async function runExample(code: string, modules: Readonly<Record<string, object>>): Promise<string> {
  const body = code.replace(/^import (\{[^}]*\}) from '([^']+)';$/gm, (_, names: string, from: string) => {
    if (!(from in modules)) throw new Error(`runExample: the example imports ${from}; the test gives ${Object.keys(modules).join(', ')}`);
    return `const ${names} = modules['${from}'];`;
  });
  const lines: string[] = [];
  const AsyncFunction = (async () => {}).constructor as new (...words: string[]) => (...values: unknown[]) => Promise<void>;
  await new AsyncFunction('modules', 'console', body)(modules, { log: (...words: unknown[]) => lines.push(format(...words)) });
  return lines.join('\n');
}
