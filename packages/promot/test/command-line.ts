// A command line run inside the test's process, with what it wrote.
import { Writable } from 'node:stream';
import { runCli } from '../src/cli/program.js';

/** A stream that keeps what is written. */
export class Collect extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Runs `promot ARGS`: the exit code and what went to standard output and standard error. */
export async function promot(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new Collect(), new Collect()];
  const code = await runCli(args, { stdout, stderr, exitCode: 0 });
  return { code, out: stdout.text, err: stderr.text };
}
