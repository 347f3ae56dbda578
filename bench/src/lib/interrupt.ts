/** Ctrl-C, termination, and output that nobody takes any more: the first ends the run with what it has, the second the process. */

/** The shell's exit codes: of the signals, and of SIGPIPE. That one is not listened to: writes to a peer that has died would raise it too. */
const EXIT = { SIGINT: 130, SIGTERM: 143, EPIPE: 141 } as const;
type Ending = keyof typeof EXIT;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** One signal can come twice: from the terminal, or `timeout`, to the whole group, and from npm, which hands on what it gets. */
const SAME_MS = 500;

/** Gives `work` what aborts, with the ending's name as its reason; the exit code is then of {@link EXIT}. */
export async function interruptible(complain: (line: string) => void, work: (told: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController();
  let first = 0;
  const end = (name: Ending) => {
    if (!controller.signal.aborted) {
      first = performance.now();
      controller.abort(name);
      complain(`bench: ${name}: ends with what was measured; once more ends it now`);
    } else if (name !== 'EPIPE' && performance.now() - first > SAME_MS) process.exit(EXIT[name]);
  };
  const onSignal = (name: NodeJS.Signals) => end(name as Ending);
  // The reader is gone, as `tee` is after Ctrl-C: the receipt is still to be written.
  const onError = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    end('EPIPE');
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onError);
  try {
    const code = await work(controller.signal);
    return controller.signal.aborted ? EXIT[controller.signal.reason as Ending] : code;
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
    for (const stream of [process.stdout, process.stderr]) stream.off('error', onError);
  }
}
