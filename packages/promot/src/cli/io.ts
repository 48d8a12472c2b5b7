// Where a command writes, and what it says to the shell at the end.

export interface Io {
  /** Answers: text for people, or with --json one JSON object. */
  readonly stdout: NodeJS.WritableStream;
  /** Progress, notes and errors. A terminal gets live bars. */
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** Where answers to questions come from; default: the process's own. */
  readonly stdin?: NodeJS.ReadableStream;
  /** 0, 1 (failed), 2 (bad input), 130 (ended by Ctrl-C), 143 (ended by SIGTERM). */
  exitCode: number;
  /** What a person types for this program; default `promot`. */
  readonly program?: string;
}

/** Prints an answer: the object as JSON, or text for people. */
export function answer(io: Io, json: boolean | undefined, object: unknown, text: () => string): void {
  io.stdout.write(json ? `${JSON.stringify(object)}\n` : `${text().trimEnd()}\n`);
}

/** Lines that say what is going on. */
export function note(io: Io, text: string): void {
  io.stderr.write(`${text}\n`);
}
