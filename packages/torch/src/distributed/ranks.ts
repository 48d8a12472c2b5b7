// Which process of how many this one is, read from the variables that launchers set: torchrun, Slurm's srun, Kubeflow,
// or by hand.
import { UserError } from '../errors.js';

/** One process among those that train together. */
export interface Ranks {
  /** 0 up to `worldSize`. */
  rank: number;
  worldSize: number;
  /** The rank among those of this machine, and their number. */
  localRank: number;
  localWorldSize: number;
  /** Where the store is that all meet at: rank 0's machine. */
  masterAddr: string;
  masterPort: number;
  /** Whether the launcher keeps the store (torchrun's agent does); else rank 0 does. */
  agentStore: boolean;
  /** How often the launcher has started the processes anew. */
  restart: number;
  launcher: 'torchrun' | 'Slurm' | 'Kubeflow' | 'variables';
}

/** A launcher's variables, or what the ranks say of each other, do not go together. */
export class DistributedError extends UserError {
  override name = 'DistributedError';

  constructor(message: string, cause?: unknown) {
    super(message, { code: 'distributed', cause });
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * What the launcher's variables say; undefined where there is no launcher.
 *
 * - `RANK`, `WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT` (and `LOCAL_RANK`, `LOCAL_WORLD_SIZE`): torchrun, or set by hand
 * - `SLURM_*` of a step (`srun`); `MASTER_ADDR` and `MASTER_PORT` go before the first node and a port made of the job's
 *   number
 * - `PET_*` of Kubeflow, with one process a pod
 *
 * @throws DistributedError that names the variable that is missing or no number
 * @example const ranks = ranksFromEnvironment(process.env);
 */
export function ranksFromEnvironment(env: Env): Ranks | undefined {
  if (env.RANK !== undefined && (env.LOCAL_RANK !== undefined || env.PET_NNODES === undefined))
    return fromVariables(env);
  if (env.PET_NNODES !== undefined) return fromKubeflow(env);
  if (env.SLURM_STEP_NUM_TASKS !== undefined && env.SLURM_PROCID !== undefined) return fromSlurm(env);
  for (const name of ['WORLD_SIZE', 'LOCAL_RANK'])
    if (env[name] !== undefined) throw new DistributedError(`${name} is set and RANK is not: set both, or neither.`);
  return undefined;
}

function fromVariables(env: Env): Ranks {
  const worldSize = whole(env, 'WORLD_SIZE', 1);
  const localRank = env.LOCAL_RANK === undefined ? 0 : whole(env, 'LOCAL_RANK', 0);
  const torchrun = env.TORCHELASTIC_RUN_ID !== undefined;
  return checked({
    rank: whole(env, 'RANK', 0),
    worldSize,
    localRank,
    localWorldSize: env.LOCAL_WORLD_SIZE === undefined ? localRank + 1 : whole(env, 'LOCAL_WORLD_SIZE', 1),
    masterAddr: given(env, 'MASTER_ADDR'),
    masterPort: port(env, 'MASTER_PORT'),
    agentStore: env.TORCHELASTIC_USE_AGENT_STORE === 'True',
    restart: env.TORCHELASTIC_RESTART_COUNT === undefined ? 0 : whole(env, 'TORCHELASTIC_RESTART_COUNT', 0),
    launcher: torchrun ? 'torchrun' : 'variables',
  });
}

function fromSlurm(env: Env): Ranks {
  const nodes = expandNodes(given(env, 'SLURM_STEP_NODELIST'));
  const node = env.SLURM_NODEID === undefined ? 0 : whole(env, 'SLURM_NODEID', 0);
  const worldSize = whole(env, 'SLURM_STEP_NUM_TASKS', 1);
  const tasks = expandCounts(env.SLURM_STEP_TASKS_PER_NODE ?? String(worldSize));
  // Two jobs on one machine must not meet: the port comes from the job's and the step's number.
  const own = 20000 + ((whole(env, 'SLURM_JOB_ID', 0) * 10 + whole(env, 'SLURM_STEP_ID', 0)) % 10000);
  return checked({
    rank: whole(env, 'SLURM_PROCID', 0),
    worldSize,
    localRank: whole(env, 'SLURM_LOCALID', 0),
    localWorldSize: tasks[node] ?? 1,
    masterAddr: env.MASTER_ADDR ?? nodes[0] ?? '',
    masterPort: env.MASTER_PORT === undefined ? own : port(env, 'MASTER_PORT'),
    agentStore: false,
    restart: env.SLURM_RESTART_COUNT === undefined ? 0 : whole(env, 'SLURM_RESTART_COUNT', 0),
    launcher: 'Slurm',
  });
}

function fromKubeflow(env: Env): Ranks {
  const perNode = env.PET_NPROC_PER_NODE ?? '1';
  if (perNode !== '1')
    throw new DistributedError(
      `PET_NPROC_PER_NODE is ${perNode}: something has to start that many processes in each pod. Put torchrun ` +
        '--no-python in front of the command, or promot launch.',
    );
  return checked({
    rank: whole(env, 'PET_NODE_RANK', 0),
    worldSize: whole(env, 'PET_NNODES', 1),
    localRank: 0,
    localWorldSize: 1,
    masterAddr: given(env, 'PET_MASTER_ADDR'),
    masterPort: port(env, 'PET_MASTER_PORT'),
    agentStore: false,
    restart: 0,
    launcher: 'Kubeflow',
  });
}

function checked(ranks: Ranks): Ranks {
  const { rank, worldSize, localRank, localWorldSize } = ranks;
  if (rank >= worldSize) throw new DistributedError(`rank ${rank} of ${worldSize} processes: ranks count from 0.`);
  if (localRank >= localWorldSize)
    throw new DistributedError(`local rank ${localRank} of ${localWorldSize} processes on this machine.`);
  return ranks;
}

/**
 * The threads that each rank should take: the machine's cores divided by its ranks. torchrun sets OMP_NUM_THREADS=1
 * without being asked; any other value was meant by someone and stays.
 *
 * @param cores of this machine, for example `os.availableParallelism()`
 * @returns the number, and a line for the person where it differs from what libtorch would take
 */
export function rankThreads(ranks: Ranks, env: Env, cores: number): { threads: number; said?: string } {
  const share = Math.max(1, Math.floor(cores / ranks.localWorldSize));
  const set = env.OMP_NUM_THREADS;
  const torchruns = ranks.launcher === 'torchrun' && set === '1';
  if (set !== undefined && !torchruns) return { threads: whole(env, 'OMP_NUM_THREADS', 1) };
  const why = torchruns ? ' torchrun set OMP_NUM_THREADS=1.' : '';
  const of =
    `${cores} ${cores === 1 ? 'core' : 'cores'} for ${ranks.localWorldSize} ` +
    `${ranks.localWorldSize === 1 ? 'process' : 'processes'}`;
  return { threads: share, said: `${share} ${share === 1 ? 'thread' : 'threads'} a process: ${of}.${why}` };
}

/** `gpu[01-03,7],login` -> gpu01, gpu02, gpu03, gpu7, login (Slurm's way to write nodes). */
export function expandNodes(list: string): string[] {
  return splitOutside(list).flatMap((part) => {
    const open = part.indexOf('[');
    if (open < 0) return [part];
    const close = part.indexOf(']', open);
    if (close < 0) throw new DistributedError(`Slurm's list of nodes is not understood: ${list}`);
    const ends = expandNodes(part.slice(close + 1)); // gpu[1-2]-x[3-4] has two ranges.
    const middles = part
      .slice(open + 1, close)
      .split(',')
      .flatMap(expandRange);
    return middles.flatMap((middle) => (ends.length ? ends : ['']).map((end) => part.slice(0, open) + middle + end));
  });
}

/** `2(x3),1` -> 2, 2, 2, 1 (Slurm's way to write tasks of nodes). */
function expandCounts(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const match = /^(\d+)(?:\(x(\d+)\))?$/.exec(part);
    if (!match) throw new DistributedError(`SLURM_STEP_TASKS_PER_NODE is not understood: ${text}`);
    return Array<number>(Number(match[2] ?? 1)).fill(Number(match[1]));
  });
}

function expandRange(text: string): string[] {
  const match = /^(\d+)-(\d+)$/.exec(text);
  if (!match) return [text];
  const [, first = '', last = ''] = match;
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1 && count <= 100_000)) throw new DistributedError(`Slurm's list of nodes has the range ${text}`);
  return Array.from({ length: count }, (_, i) => String(Number(first) + i).padStart(first.length, '0'));
}

/** Parts between commas that stand outside of brackets. */
function splitOutside(list: string): string[] {
  return list === '' ? [] : list.split(/,(?![^[]*\])/);
}

function given(env: Env, name: string): string {
  const value = env[name];
  if (value === undefined || value === '')
    throw new DistributedError(`${name} is not set, but other variables of a launcher are.`);
  return value;
}

function whole(env: Env, name: string, least: number): number {
  const text = given(env, name);
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
    throw new DistributedError(`${name} is "${text}": a whole number from ${least} up is needed.`);
  return value;
}

function port(env: Env, name: string): number {
  const value = whole(env, name, 1);
  if (value > 65535) throw new DistributedError(`${name} is ${value}: ports end at 65535.`);
  return value;
}
