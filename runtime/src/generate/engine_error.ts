/** A generation request cannot be met; the message says what was asked, what there is, and what to change. Nothing was started. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
}
