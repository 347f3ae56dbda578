/** Ctrl-C, termination, and output that nobody takes any more: the first ends the run with what it has, the second the process. */

/** Their exit codes are the shell's for a process that ended of them. */
const EXIT = { SIGINT: 130, SIGTERM: 143, SIGPIPE: 141 } as const;
type Ending = keyof typeof EXIT;
const SIGNALS = Object.keys(EXIT) as readonly Ending[];

/** One signal can come twice: from the terminal, or `timeout`, to the whole group, and from npm, which hands on what it gets. */
const SAME_MS = 500;

/** Gives `work` what aborts, with the signal's name as its reason; the exit code is then of {@link EXIT}. */
export async function interruptible(complain: (line: string) => void, work: (told: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController();
  let first = 0;
  const onSignal = (name: NodeJS.Signals) => {
    if (!controller.signal.aborted) {
      first = performance.now();
      controller.abort(name);
      complain(`bench: ${name}: ends with what was measured; once more ends it now`);
    } else if (name !== 'SIGPIPE' && performance.now() - first > SAME_MS) process.exit(EXIT[name as Ending]);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    const code = await work(controller.signal);
    return controller.signal.aborted ? EXIT[controller.signal.reason as Ending] : code;
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
