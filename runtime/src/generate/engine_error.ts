/**
 * A generation request cannot be met, or the model gives nothing to draw from; the message says what was asked, what there is, and what to
 * change. No sequence has changed.
 */
export class EngineError extends Error {
  override readonly name = 'EngineError';
}
