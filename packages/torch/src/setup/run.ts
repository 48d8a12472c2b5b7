// Runs a program and collects what it prints; the arguments are passed as they are, no shell is involved.
import { spawn } from 'node:child_process';

/** What a program did. `code` is null when it was killed or could not be started; `error` says why it did not start. */
export interface RunResult {
  code: number | null;
  stdout: string;
  stderr: string;
  error?: NodeJS.ErrnoException;
}

/** Options of `run`. */
interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Let the program write both its outputs to our standard error, as it runs. Nothing is collected then. */
  inherit?: boolean;
  /** Kill it after this many milliseconds. */
  timeout?: number;
}

/** Runs `program` to its end. Never rejects: look at `code` and `error`. */
export function run(program: string, args: string[], options: RunOptions = {}): Promise<RunResult> {
  return new Promise((done) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: options.inherit ? ['ignore', 2, 2] : ['ignore', 'pipe', 'pipe'],
      timeout: options.timeout,
    });
    const result: RunResult = { code: null, stdout: '', stderr: '' };
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      result.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      result.stderr += text;
    });
    child.on('error', (error) => {
      result.error = error;
      done(result);
    });
    child.on('close', (code) => {
      result.code = code;
      done(result);
    });
  });
}
