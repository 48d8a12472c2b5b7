// Starts the ranks of a test: processes that run ranks-child.mjs or another script under a launcher's variables.
import { spawn } from 'node:child_process';
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

/** Runs a part of ranks-child.mjs in so many processes, the variables set by hand. */
export async function ranks(size: number, part: string, options: object = {}, script = child): Promise<Ended[]> {
  const port = String(await freePort());
  return Promise.all(
    Array.from({ length: size }, (_, rank) =>
      ended(process.execPath, [script, part, JSON.stringify(options)], {
        RANK: String(rank),
        WORLD_SIZE: String(size),
        LOCAL_RANK: String(rank),
        LOCAL_WORLD_SIZE: String(size),
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: port,
      }),
    ),
  );
}
