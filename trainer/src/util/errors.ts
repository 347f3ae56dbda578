/** Errors that name the user's mistake; the CLI prints their message alone and exits with `exitCode`. */

/** A wrong config, flag, run folder or checkpoint. Exit code 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly exitCode = 2;
}

/** The disk refused a write (full, over quota, read-only). The file that was there before is intact. Exit code 2. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly exitCode = 2;
}
