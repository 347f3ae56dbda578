/** eagrl chat. */
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import { type Config, configSchema } from '../config/schema.ts';
import type { ChatSession, ChatSettings } from '../stages/chat.ts';
import { ConfigError } from '../util/errors.ts';
import { InterruptedRun } from './interrupt.ts';
import { loadStage } from './stages.ts';

/** Flags that are numbers, by the names of transformers' GenerationConfig. */
const NUMBERS: Readonly<Record<string, { setting: keyof ChatSettings; help: string; expected: string; valid: (n: number) => boolean }>> = {
  max_new_tokens: {
    setting: 'maxNewTokens',
    help: 'tokens of one answer at most, 512 by default',
    expected: 'a whole number above 0',
    valid: (n) => Number.isInteger(n) && n > 0,
  },
  temperature: { setting: 'temperature', help: '0 takes the most probable token', expected: 'at least 0', valid: (n) => n >= 0 },
  top_k: { setting: 'topK', help: '0: off', expected: 'a whole number', valid: (n) => Number.isInteger(n) && n >= 0 },
  top_p: { setting: 'topP', help: '1: off', expected: 'a number above 0, up to 1', valid: (n) => n > 0 && n <= 1 },
  min_p: { setting: 'minP', help: '0: off', expected: 'a number from 0 to 1', valid: (n) => n >= 0 && n <= 1 },
  repetition_penalty: { setting: 'repetitionPenalty', help: '1: off', expected: 'a number above 0', valid: (n) => n > 0 },
  seed: {
    setting: 'seed',
    help: 'the same seed, the same answers; 42 by default',
    expected: 'a whole number below 2^32',
    valid: (n) => Number.isInteger(n) && n >= 0 && n < 2 ** 32,
  },
};

interface ChatFlags extends Readonly<Record<string, string | undefined>> {
  readonly system?: string;
  readonly prompt?: string;
  readonly adapter?: string;
}

export function registerChat(program: Command): void {
  const command = program
    .command('chat')
    .description('talk to a model: on a terminal turn by turn, with --prompt or a pipe once')
    .argument('[model]', 'a model folder; without it the policy shipped with this package, or the base that the adapter names')
    .option('--prompt <text>', 'one question, its answer on stdout')
    .option('--system <text>', 'a system turn before the conversation')
    .option('--adapter <folder>', "a LoRA adapter: PEFT's adapter_config.json and adapter_model.safetensors")
    .addOption(
      new Option('--dtype <type>', 'how the weights are kept in memory')
        .choices(configSchema.shape.model.unwrap().shape.dtype.unwrap().options)
        .default('f32'),
    )
    .addOption(new Option('--device <name>', 'where to run').choices(configSchema.shape.device.unwrap().options).default('auto'));
  for (const [name, { help }] of Object.entries(NUMBERS)) {
    command.option(`--${name} <n>`, help);
    if (name.includes('_')) command.addOption(new Option(`--${name.replaceAll('_', '-')} <n>`).hideHelp());
  }
  command
    .addHelpText(
      'after',
      "\nWhat no flag says is taken from the model's generation_config.json. In a conversation: /adapter DIR, /adapter none, /reset, /exit; Ctrl-C stops an answer.\n" +
        '\nExamples:\n' +
        '  eagrl chat                                        the policy shipped with this package\n' +
        '  eagrl chat FOLDER --dtype int4                    a Hugging Face folder, at 4.5 bits a weight\n' +
        '  eagrl chat FOLDER --adapter ADAPTER --prompt TEXT one answer, of the adapted model',
    )
    .action(async (model: string | undefined, flags: ChatFlags) => {
      const { withChat } = await loadStage('chat');
      const prompt = flags.prompt ?? (process.stdin.isTTY ? null : (await text(process.stdin)).trim());
      if (prompt === '') throw new ConfigError('chat: the question is empty; give --prompt TEXT, or text on stdin');
      const device = flags['device'] as Config['device'];
      const dtype = flags['dtype'] as Config['model']['dtype'];
      const options = { model: model ?? null, adapter: flags.adapter ?? null, device, dtype, settings: settingsOf(flags) };
      await withChat(options, (session, about) => (prompt === null ? converse(session, about) : answerOnce(session, prompt)));
    });
}

/** @throws ConfigError for a flag that is no such number. */
function settingsOf(flags: ChatFlags): ChatSettings {
  const numbers = Object.entries(NUMBERS).flatMap(([name, { setting, expected, valid }]): [string, number][] => {
    const given = flags[name] ?? flags[name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())];
    if (given === undefined) return [];
    if (given.trim() === '' || !valid(Number(given))) throw new ConfigError(`--${name}: expected ${expected}, got '${given}'`);
    return [[setting, Number(given)]];
  });
  return { maxNewTokens: 512, seed: 42, ...(flags.system === undefined ? {} : { system: flags.system }), ...Object.fromEntries(numbers) };
}

const print = (piece: string): void => void process.stdout.write(piece);

/** One question. Ctrl-C ends the answer and the command. */
async function answerOnce(session: ChatSession, prompt: string): Promise<void> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.once('SIGINT', stop);
  try {
    const { finished } = await session.reply(prompt, print, controller.signal);
    print('\n');
    if (finished === 'length') process.stderr.write('the answer was cut at its limit; raise --max_new_tokens, or ask for less\n');
    if (finished === 'aborted') throw new InterruptedRun('interrupted');
  } finally {
    process.off('SIGINT', stop);
  }
}

/** Turn by turn until /exit, Ctrl-D, or Ctrl-C at the prompt. */
async function converse(session: ChatSession, about: string): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ' });
  let answering: AbortController | null = null;
  lines.on('SIGINT', () => (answering ? answering.abort() : lines.close()));
  const note = (words: string): void => void process.stderr.write(`${words}\n`);
  note(`${about}\n/adapter DIR and /adapter none swap the adapter, /reset forgets the conversation, /exit ends it, Ctrl-C stops an answer`);
  try {
    for (;;) {
      const line = await nextLine(lines);
      if (line === null || line === '/exit') return;
      if (line === '') continue;
      if (line === '/reset') {
        session.reset();
        note('forgotten');
        continue;
      }
      if (/^\/adapter(\s|$)/.test(line)) {
        note(adapt(session, line.slice('/adapter'.length).trim()));
        continue;
      }
      if (line.startsWith('/')) {
        note(`no command ${line.split(' ', 1)[0]}; there are /adapter, /reset and /exit`);
        continue;
      }
      answering = new AbortController();
      try {
        const { numTokens, seconds, finished } = await session.reply(line, print, answering.signal);
        print('\n');
        const why = { stop: '', length: ', cut at the limit', aborted: ', stopped' }[finished];
        note(`[${numTokens} tokens, ${(numTokens / seconds).toFixed(1)} per second${why}]`);
      } catch (error) {
        // A turn that is too long, or one that the template refuses, is the user's to mend; the conversation stands.
        if (!['EngineError', 'ChatTemplateError'].includes((error as Error).name)) throw error;
        note(`${(error as Error).message}; /reset starts over`);
      }
      answering = null;
    }
  } finally {
    lines.close();
  }
}

/** Swaps the adapter; gives what now answers, or why nothing changed. */
function adapt(session: ChatSession, folder: string): string {
  if (folder === '') return 'give a folder, /adapter DIR, or /adapter none';
  try {
    return session.adapt(folder === 'none' ? null : folder);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message;
  }
}

/** The next line without spaces around it; null when there is none. */
function nextLine(lines: ReturnType<typeof createInterface>): Promise<string | null> {
  return new Promise((resolve) => {
    const onLine = (line: string): void => {
      lines.off('close', onClose);
      resolve(line.trim());
    };
    const onClose = (): void => {
      lines.off('line', onLine);
      resolve(null);
    };
    lines.once('line', onLine);
    lines.once('close', onClose);
    lines.prompt();
  });
}
