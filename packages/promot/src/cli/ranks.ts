// A command that several processes (ranks) run together: started by torchrun, srun, Kubeflow or `promot launch`.
import { createWriteStream } from 'node:fs';
import { availableParallelism, devNull } from 'node:os';
import { dirname } from 'node:path';
import { makeFolder, UserError } from '@promot/core/base';
import type { distributed } from '@promot/torch';
import type { Io } from './io.js';
import { useTorch } from './torch.js';

/**
 * A command's action for each of the processes that a launcher started, in one process group; as it is where there is
 * no launcher. Rank 0 talks to the person. The others write what they say to a log beside the run folder.
 */
export function inRanks<O extends { readonly out?: string; readonly resume?: true | string }>(
  io: Io,
  action: (options: O) => Promise<void>,
): (options: O) => Promise<void> {
  return async (options) => {
    const { distributed: group } = await import('@promot/torch');
    const ranks = group.ranksFromEnvironment(process.env);
    if (!ranks || ranks.worldSize === 1) return action(options);
    if (ranks.rank > 0) {
      const log = openLog(options.out ?? (options.resume === true ? undefined : options.resume), ranks.rank);
      Object.assign(io, { stdout: log, stderr: log });
    }
    // Each rank sees one GPU, its own, so none has to be named. CUDA reads the variable when it is first asked for
    // anything.
    const visible = process.env.CUDA_VISIBLE_DEVICES?.split(',');
    process.env.CUDA_VISIBLE_DEVICES = visible ? (visible[ranks.localRank] ?? '') : String(ranks.localRank);
    await useTorch();
    await shareCores(ranks, io);
    const { libtorch } = await import('@promot/torch');
    const nccl = libtorch().cuda && group.backends().nccl;
    await group.initProcessGroup({ ranks, seconds: timeout(), ...(nccl && { cuda: 0 }) });
    try {
      await action(options);
      await group.destroyProcessGroup();
    } catch (error) {
      await group.abortProcessGroup(error as Error);
      // A thread may still wait for a rank that is out of reach, and nobody for the thread.
      setTimeout(() => process.exit(), 3000).unref();
      throw error;
    }
  };
}

/**
 * The file where a rank other than 0 says what rank 0 says to the person; nowhere, for a command that writes no files.
 */
function openLog(out: string | undefined, rank: number): NodeJS.WritableStream {
  if (out === undefined) return createWriteStream(devNull);
  makeFolder(dirname(out));
  return createWriteStream(`${out}.rank${rank}.log`, { flags: 'a' });
}

/** The longest that a rank waits for another in a step, in seconds; undefined: the library's own. */
function timeout(): number | undefined {
  const text = process.env.PROMOT_RANK_TIMEOUT;
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (!(seconds >= 1 && seconds <= 86_400))
    throw new UserError(`PROMOT_RANK_TIMEOUT is "${text}": a number of seconds from 1 to 86400 is needed`);
  return seconds;
}

async function shareCores(ranks: distributed.Ranks, io: Io): Promise<void> {
  const { distributed: group, threads } = await import('@promot/torch');
  const { threads: own, said } = group.rankThreads(ranks, process.env, availableParallelism());
  threads(own);
  const by = ranks.launcher === 'variables' ? '' : ` under ${ranks.launcher}`;
  io.stderr.write(`Rank ${ranks.rank} of ${ranks.worldSize} processes${by}${said ? `; ${said}` : ''}\n`);
}
