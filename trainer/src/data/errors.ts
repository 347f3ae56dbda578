/** Input data that cannot be used: says file, place, expected, got and cure; never a patient's values. The CLI exits with code 2. */
export class DataError extends Error {
  override readonly name = 'DataError';
}
