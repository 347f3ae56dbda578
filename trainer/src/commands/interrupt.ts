/** Ctrl-C and termination: the first asks the work to save and stop, the second ends the process at once. */

/** Work stopped because it was asked to; the message says how to go on. Exit code 130, the shell's for SIGINT. */
export class InterruptedRun extends Error {
  override readonly name = 'InterruptedRun';
  readonly exitCode = 130;
}

/**
 * Runs `work` with a signal that Ctrl-C aborts. Work that ends by an error named Interrupted, or by the signal's reason, ends here
 * as {@link InterruptedRun} with `resumeHint`; any other error passes.
 */
export async function interruptible<T>(resumeHint: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write('\nstopping: saving a checkpoint first; press Ctrl-C again to stop at once\n');
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    const asked = controller.signal.aborted && (error === controller.signal.reason || (error as Error).name === 'Interrupted');
    throw asked ? new InterruptedRun(`interrupted, what was done is saved; ${resumeHint}`) : error;
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}
