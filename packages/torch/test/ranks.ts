// Starts the ranks of a test: processes that run ranks-child.mjs or another script under a launcher's variables.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

export const child = fileURLToPath(new URL('ranks-child.mjs', import.meta.url));

/** How a rank ended: what it printed (JSON, where it is), and everything it said. */
export interface Ended {
  code: number | null;
  said: Said | undefined;
  stderr: string;
}
export interface Said {
  result?: unknown;
  error?: string;
  name?: string;
  ms?: number;
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

/** Runs a command to its end. `onStdout` hears what it prints. */
export function ended(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  onStdout = () => {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const running = spawn(command, args, { env: { ...process.env, OMP_NUM_THREADS: '1', ...env } });
    let stdout = '';
    let stderr = '';
    running.stdout.on('data', (text) => {
      stdout += text;
      onStdout();
    });
    running.stderr.on('data', (text) => {
      stderr += text;
    });
    running.on('close', (code) => {
      const line = stdout.trim().split('\n').at(-1) ?? '';
      resolve({ code, said: line.startsWith('{') ? (JSON.parse(line) as Said) : undefined, stderr });
    });
  });
}

/**
 * Processes that play the ranks of one test after the other, because to start libtorch takes longer than most parts.
 * One that ends, by an error or killed, has another in its place.
 */
export class Ranks {
  readonly #idle: Rank[] = [];

  constructor(readonly script = child) {}

  /** Plays a part in so many processes, the variables of a launcher set by hand. */
  async play(size: number, part: string, options: object = {}): Promise<Ended[]> {
    const port = String(await freePort());
    const all = Array.from({ length: size }, () => this.#idle.pop() ?? new Rank(this.script));
    return Promise.all(
      all.map(async (one, rank) => {
        const env = {
          RANK: String(rank),
          WORLD_SIZE: String(size),
          LOCAL_RANK: String(rank),
          LOCAL_WORLD_SIZE: String(size),
          MASTER_ADDR: '127.0.0.1',
          MASTER_PORT: port,
        };
        const done = await one.play({ part, options, env });
        if (done.code === 0) this.#idle.push(one);
        return done;
      }),
    );
  }

  /** Ends the processes that wait. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((one) => one.close()));
  }
}

/** A process that waits for its next part. */
class Rank {
  readonly #process: ChildProcessWithoutNullStreams;
  #stdout = '';
  #stderr = '';
  #done: (ended: Ended) => void = () => {};

  constructor(script: string) {
    this.#process = spawn(process.execPath, [script], { env: { ...process.env, OMP_NUM_THREADS: '1' } });
    this.#process.stdout.on('data', (text) => {
      this.#stdout += text;
      // After an error the process ends, and its code is to be told.
      if (this.#stdout.endsWith('\n') && this.#said()?.error === undefined) this.#tell(0);
    });
    this.#process.stderr.on('data', (text) => {
      this.#stderr += text;
    });
    this.#process.on('close', (code) => this.#tell(code));
  }

  play(told: object): Promise<Ended> {
    this.#process.stdin.write(`${JSON.stringify(told)}\n`);
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  close(): Promise<void> {
    this.#process.stdin.end();
    return new Promise((resolve) => this.#process.on('close', () => resolve()));
  }

  #said(): Said | undefined {
    const line = this.#stdout.trim().split('\n').at(-1) ?? '';
    return line.startsWith('{') ? (JSON.parse(line) as Said) : undefined;
  }

  #tell(code: number | null): void {
    this.#done({ code, said: this.#said(), stderr: this.#stderr });
    this.#stdout = '';
    this.#stderr = '';
    this.#done = () => {};
  }
}
