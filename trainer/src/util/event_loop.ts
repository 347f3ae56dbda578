/**
 * Lets timers and signals have their turn. On the WASM backend results are there at once, so that a loop of awaits alone never leaves
 * the queue of microtasks, and Ctrl-C would wait for the end of the run.
 */
export const yieldToEvents = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
