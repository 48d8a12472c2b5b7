// Errors whose message is written for the person at the keyboard, and their codes. Loads nothing.

/** What a code means, and the exit code of the command line. */
export const errorCodes = {
  'bad-input': { exit: 2, meaning: 'An argument, a setting, a file or a folder is not as it should be.' },
  'unknown-name': { exit: 2, meaning: 'There is no task, model, method, metric or other thing of this name.' },
  'damaged-file': { exit: 2, meaning: 'A file is cut short, damaged, or not of the format that it should have.' },
  'newer-format': { exit: 2, meaning: 'A newer promot wrote the file.' },
  locked: { exit: 2, meaning: 'Another process is working in the folder.' },
  changed: { exit: 2, meaning: 'Something that a run depends on has changed since the run began.' },
  disk: { exit: 2, meaning: 'The system refuses: no space left, a read-only disk, no permission, no such file.' },
  network: { exit: 2, meaning: 'A server does not answer, or its answer is of no use.' },
  setup: { exit: 2, meaning: 'libtorch, a compiler or the addon is missing: `promot doctor --setup` helps.' },
  distributed: { exit: 1, meaning: 'Another process of the group failed, or does other work.' },
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface UserErrorOptions {
  /** Default `bad-input`. */
  readonly code?: ErrorCode;
  /** The error behind this one. */
  readonly cause?: unknown;
}

/**
 * What a person can mend: the message says what was wrong, where (file, line, key) and what to do, on one line (see
 * `printable`). The command line prints it without a stack and exits with the code's exit code.
 *
 * @example throw new UserError(`${path} line ${line}: not JSON`, { code: 'damaged-file', cause: error });
 */
export class UserError extends Error {
  override name = 'UserError';
  readonly code: ErrorCode;

  constructor(message: string, { code = 'bad-input', cause }: UserErrorOptions = {}) {
    super(printable(message), cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** Messages quote files; what nobody would read is cut out of their middle. */
const longest = 2000;

/**
 * A message as a terminal may show it: one line of moderate length. What it quotes may come from a hostile file, so
 * control characters (with which a text could steer a terminal) are escaped, line breaks become spaces, and long texts
 * are cut.
 */
export function printable(text: string): string {
  // What is cut away needs no escaping, which would make a text of zeros four times as long.
  const escaped = text
    .slice(0, 2 * longest)
    .concat(text.slice(2 * longest).slice(-longest))
    .replaceAll(/\s*\n\s*/gu, ' ')
    .replaceAll(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) => {
      const code = character.codePointAt(0)!.toString(16);
      return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
    });
  if (escaped.length <= longest) return escaped;
  return `${escaped.slice(0, longest - 400)} ... ${escaped.slice(escaped.length - 300)}`;
}

const refusals: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'not a folder',
  EISDIR: 'is a folder',
  EEXIST: 'exists already',
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'no space left of your quota',
  EROFS: 'the disk is read-only',
  ENAMETOOLONG: 'the name is too long',
};

/** The system's refusals that a person can do something about, as a UserError that names the path; else undefined. */
export function systemError(error: unknown): UserError | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, path, written, refused } = error as NodeJS.ErrnoException & { written?: number; refused?: number };
  const refusal = code === undefined ? undefined : refusals[code];
  if (refusal === undefined || path === undefined) return undefined;
  const count = (bytes: number) => bytes.toLocaleString('en');
  const bytes = refused ? ` for ${count(refused)} bytes${written ? ` after ${count(written)}` : ''}` : '';
  return new UserError(`${path}: ${refusal}${bytes}`, { code: 'disk', cause: error });
}

/** How oneDNN says that it has no memory for a kernel that it was able to describe. */
const lacksKernel = (message: string): boolean => /could not create a primitive(?! descriptor)/u.test(message);

/** The same error; where its message hides that memory lacked, one that says so. */
export function sayingMemory(error: unknown): unknown {
  if (!(error instanceof Error) || !lacksKernel(error.message)) return error;
  return new Error(`${error.message} (out of memory)`, { cause: error });
}

/** Whether libtorch failed because it got no memory, of a GPU or of the machine: with less work it may go on. */
export function isOutOfMemory(error: unknown): boolean {
  return (
    error instanceof Error &&
    (/out of memory|(can't|cannot|not enough) (allocate )?memory|bad_alloc/i.test(error.message) ||
      lacksKernel(error.message))
  );
}
