/** How much work one submit to a GPU may hold. */

/**
 * Operations that any device is given at once. Windows resets a device, Chrome and Metal give it up, after 2 to 10 s of one submit; weak ones do
 * 0.2 TFLOP/s.
 */
export const MIN_FLOPS = 2e11;
/** Length of a submit at the rate that the device has shown, seconds: if what follows runs at a tenth of it, it still takes 2 s. */
const SUBMIT_SECONDS = 0.2;

/**
 * The limit follows the last stretch of at least MIN_FLOPS between two moments when the host saw all work done. What the device waited for the host
 * within it counts as work, so a rate is never taken for more than it was. Times are milliseconds.
 */
export class Pace {
  /** Operations of one submit. */
  limit = MIN_FLOPS;
  /** Operations ever submitted, and how many of these were seen done. */
  #submitted = 0;
  #done = 0;
  /** From when on the device has worked on what was not seen done. */
  #since = 0;

  submit(flops: number, now: number): void {
    if (this.#submitted === this.#done) this.#since = now;
    this.#submitted += flops;
  }

  /** What `seen` takes, when all that has been submitted until now is done. */
  get mark(): number {
    return this.#submitted;
  }

  seen(mark: number, now: number): void {
    const flops = mark - this.#done;
    if (flops >= MIN_FLOPS) this.limit = Math.max(MIN_FLOPS, (1e3 * SUBMIT_SECONDS * flops) / (now - this.#since));
    if (flops <= 0) return;
    this.#done = mark;
    this.#since = now;
  }
}
