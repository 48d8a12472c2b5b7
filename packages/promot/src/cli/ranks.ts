// A command that several processes (ranks) run together: started by torchrun, srun, Kubeflow or `promot launch`.
import { createWriteStream, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import type { distributed } from '@promot/torch';
import type { Io } from './io.js';
import { useTorch } from './torch.js';

/** The file where a rank other than 0 says what rank 0 says to the person. */
export function rankLog(out: string, rank: number): string {
  return `${out}.rank${rank}.log`;
}

/**
 * A command's action for each of the processes that a launcher started, in one process group; as it is where there is no launcher.
 * Rank 0 talks to the person. The others write what they say to a log beside `--out`.
 */
export function inRanks<O extends { readonly out: string }>(
  io: Io,
  action: (options: O) => Promise<void>,
): (options: O) => Promise<void> {
  return async (options) => {
    const { distributed: group } = await import('@promot/torch');
    const ranks = group.ranksFromEnvironment(process.env);
    if (!ranks || ranks.worldSize === 1) return action(options);
    if (ranks.rank > 0) {
      mkdirSync(dirname(options.out), { recursive: true });
      const log = createWriteStream(rankLog(options.out, ranks.rank), { flags: 'a' });
      Object.assign(io, { stdout: log, stderr: log });
    }
    await useTorch();
    await shareCores(ranks, io);
    await group.initProcessGroup({ ranks });
    try {
      await action(options);
      await group.destroyProcessGroup();
    } catch (error) {
      await group.abortProcessGroup(error as Error);
      throw error;
    }
  };
}

async function shareCores(ranks: distributed.Ranks, io: Io): Promise<void> {
  const { distributed: group, threads } = await import('@promot/torch');
  const { threads: own, said } = group.rankThreads(ranks, process.env, availableParallelism());
  threads(own);
  const by = ranks.launcher === 'variables' ? '' : ` under ${ranks.launcher}`;
  io.stderr.write(`Rank ${ranks.rank} of ${ranks.worldSize} processes${by}${said ? `; ${said}` : ''}\n`);
}
