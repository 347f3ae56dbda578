/** The device cannot do what was asked, or is gone. The message says what was asked, what there is, and what to do. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
}
