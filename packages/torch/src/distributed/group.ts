// Process groups under torch.distributed's names. A collective starts when it is called and ends when its promise does;
// all ranks must call the same ones in the same order. One group a process.
import { noGrad } from '../autograd.js';
import { native } from '../native.js';
import { scope } from '../scope.js';
import { call, op, type Tensor } from '../tensor.js';
import { names, Pulse, pulseKey, sayStopped } from './pulse.js';
import { DistributedError, type Ranks, ranksFromEnvironment } from './ranks.js';
import { LateError, Store, within } from './store.js';

export interface ProcessGroupOptions {
  /** Default: what the launcher's variables say. */
  ranks?: Ranks;
  /** The longest that anything waits for other ranks; default 120. */
  seconds?: number;
  /** The GPU whose tensors NCCL exchanges. Tensors on the CPU go by Gloo in any case. */
  cuda?: number;
}

export type ReduceOp = 'sum' | 'min' | 'max' | 'product';

const NAME = 'promot';
/** The time that c10d itself has to find out that its time is up. */
const GRACE = 5;

interface Group {
  ranks: Ranks;
  seconds: number;
  store: Store;
  pulse: Pulse;
  collectives: number;
  agreements: number;
  barriers: number;
  /** What was wrong, once something was: no collective can follow. */
  failure?: Promise<DistributedError>;
}

let current: Group | undefined;

/** What the addon was compiled with: Gloo (tensors on the CPU), NCCL (on GPUs). */
export function backends(): { gloo: boolean; nccl: boolean } {
  return native.distributedBackends;
}

/** What to do where GPUs are to exchange tensors and `backends().nccl` is false. */
export const howToGetNccl =
  'the addon was compiled without NCCL: nccl.h, crt/host_config.h or nv/target was not found beside libtorch. ' +
  'Install nvidia-nccl, nvidia-cuda-crt and nvidia-cuda-cccl beside PyTorch, then run: promot doctor --setup';

/**
 * Meets the other ranks and makes the group.
 *
 * Gloo listens on the interface that `GLOO_SOCKET_IFNAME` names, else on that of this machine's host name. Nothing is
 * encrypted and whoever reaches the ports can join: this is for a network of one's own.
 *
 * @throws DistributedError that names the ranks that did not come, or says what is missing
 * @example
 * await initProcessGroup();
 * await allReduce(gradient);
 * await destroyProcessGroup();
 */
export async function initProcessGroup(options: ProcessGroupOptions = {}): Promise<void> {
  if (current) throw new DistributedError('there is a process group already');
  const ranks = options.ranks ?? ranksFromEnvironment(process.env);
  if (!ranks)
    throw new DistributedError(
      'no launcher has started this process: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are not set.',
    );
  if (!backends().gloo)
    throw new DistributedError('this libtorch was built without c10d, so processes cannot work together.');
  if (options.cuda !== undefined && !backends().nccl) throw new DistributedError(howToGetNccl);
  const seconds = options.seconds ?? 120;
  const { rank, worldSize, masterAddr, masterPort } = ranks;
  const server = rank === 0 && !ranks.agentStore;
  const milliseconds = Math.ceil(1000 * seconds);
  const opened = native.openStore(
    masterAddr,
    masterPort,
    server,
    `${NAME}/${ranks.restart}`,
    milliseconds,
    pulseKey(rank),
  );
  const keeper = ranks.agentStore ? "the launcher's store" : "rank 0's store";
  await within(seconds, 'connecting', opened).catch((error: Error) => {
    throw new DistributedError(
      server
        ? `rank 0 cannot keep its store at ${masterAddr}:${masterPort}: ${error.message}`
        : `rank ${rank} cannot reach ${keeper} at ${masterAddr}:${masterPort} (${error.message})`,
      error,
    );
  });
  const store = new Store(seconds);
  const pulse = new Pulse(rank, worldSize);
  const group: Group = { ranks, seconds, store, pulse, collectives: 0, agreements: 0, barriers: 0 };
  current = group;
  try {
    if ((await store.add(`came/${rank}`, 1)) > 1)
      throw new DistributedError(`two processes say that they are rank ${rank} of ${worldSize}.`);
    await all(group, (other) => `came/${other}`, 'start');
    // One machine needs no network but its own; a host name may stand for an address that is not there.
    const own = /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(masterAddr);
    const opening = native.openGroup(
      NAME,
      rank,
      worldSize,
      milliseconds,
      process.env.GLOO_SOCKET_IFNAME ?? '',
      own ? '127.0.0.1' : '',
      options.cuda ?? -1,
    );
    await within(seconds + GRACE, 'connecting to the other ranks', opening).catch((error) =>
      fail(group, 'start', error),
    );
    await agree({ libtorch: native.build().version });
  } catch (error) {
    current = undefined;
    await native.closeGroup(true);
    throw error;
  }
}

/** Whether there is a group. */
export function isInitialized(): boolean {
  return current !== undefined;
}
/** This process's rank; 0 where there is no group. */
export function getRank(): number {
  return current?.ranks.rank ?? 0;
}
/** The number of ranks; 1 where there is no group. */
export function getWorldSize(): number {
  return current?.ranks.worldSize ?? 1;
}
/** The number of ranks on this machine; 1 where there is no group. */
export function getLocalWorldSize(): number {
  return current?.ranks.localWorldSize ?? 1;
}
/** The store that all ranks share. */
export function getStore(): Store {
  return group().store;
}

/** Sums (or the like) the tensor over all ranks, in place. */
export function allReduce(tensor: Tensor, reduce: ReduceOp = 'sum'): Promise<void> {
  return collective('all_reduce', [tensor], () => call('_c10d_functional::all_reduce_', tensor, reduce, NAME));
}

/** `allReduce` of several tensors of one type in one message. */
export function allReduceCoalesced(tensors: readonly Tensor[], reduce: ReduceOp = 'sum'): Promise<void> {
  return collective('all_reduce', tensors, () =>
    call('_c10d_functional::all_reduce_coalesced_', tensors, reduce, NAME),
  );
}

/** Puts the ranks' inputs [N, ...] one behind the other into the output [worldSize * N, ...]. */
export function allGatherIntoTensor(output: Tensor, input: Tensor): Promise<void> {
  const ranks = getWorldSize();
  const start = () => call('_c10d_functional::all_gather_into_tensor_out', input, ranks, NAME, output);
  return collective('all_gather', [output], start);
}

/** Reduces the inputs [worldSize * N, ...] over all ranks; rank r gets the r-th piece as its output [N, ...]. */
export function reduceScatterTensor(output: Tensor, input: Tensor, reduce: ReduceOp = 'sum'): Promise<void> {
  const ranks = getWorldSize();
  const start = () => call('_c10d_functional::reduce_scatter_tensor_out', input, reduce, ranks, NAME, output);
  return collective('reduce_scatter', [output], start);
}

/**
 * Collectives in the midst of synchronous work, such as a pass of a model whose weights are divided: each starts at
 * once, and the function that it gives waits. That blocks Node.js, for no longer than the group's time limit, and
 * throws where a rank failed; `explained` then finds out which.
 */
export const blocking = {
  /** See `allGatherIntoTensor`. */
  allGather(output: Tensor, input: Tensor): () => void {
    const ranks = getWorldSize();
    return started('all_gather', output, () =>
      call('_c10d_functional::all_gather_into_tensor_out', input, ranks, NAME, output),
    );
  },
  /** See `reduceScatterTensor`. */
  reduceScatter(output: Tensor, input: Tensor): () => void {
    const ranks = getWorldSize();
    return started('reduce_scatter', output, () =>
      call('_c10d_functional::reduce_scatter_tensor_out', input, 'sum', ranks, NAME, output),
    );
  },
  /** See `allReduce`. */
  allReduce(tensor: Tensor, reduce: ReduceOp = 'sum'): () => void {
    return started('all_reduce', tensor, () => call('_c10d_functional::all_reduce_', tensor, reduce, NAME));
  },
  /** See `broadcast`. */
  broadcast(tensor: Tensor, source = 0): () => void {
    return started('broadcast', tensor, () => call('_c10d_functional::broadcast_', tensor, source, NAME));
  },
};

/** A collective of `blocking` that failed. */
class BlockingFailure extends Error {
  constructor(
    readonly label: string,
    readonly reason: Error,
  ) {
    super(`${label} failed: ${reason.message}`);
  }
}

function started(kind: string, tensor: Tensor, start: () => unknown): () => void {
  const label = `${kind} ${++group().collectives}`;
  const guarded = (work: () => unknown) => {
    try {
      noGrad(work);
    } catch (error) {
      throw new BlockingFailure(label, error as Error);
    }
  };
  native.note(label);
  guarded(start);
  return () => guarded(() => scope(() => call('_c10d_functional::wait_tensor', tensor)));
}

/** Of an error, whether some rank is to blame and which: for what `blocking` threw; others stay as they are. */
export async function explained(error: unknown): Promise<unknown> {
  if (!(error instanceof BlockingFailure) || !current) return error;
  return fail(current, error.label, error.reason).catch((found: unknown) => found);
}

/** Gives the tensor of rank `source` to all ranks, in place. */
export function broadcast(tensor: Tensor, source = 0): Promise<void> {
  return collective('broadcast', [tensor], () => call('_c10d_functional::broadcast_', tensor, source, NAME));
}

/** Ends when all ranks have called it. */
export async function barrier(): Promise<void> {
  const token = op('aten::zeros', [1]);
  try {
    await collective('barrier', [token], () => call('_c10d_functional::all_reduce_', token, 'sum', NAME));
  } finally {
    token.dispose();
  }
}

/**
 * Ends when all ranks have called it, after work of which nobody knows how long it takes one of them, such as writing a
 * model. Waits as long as all ranks show signs of life, up to `seconds`: a rank that ends is named within seconds.
 */
export async function monitoredBarrier(seconds: number): Promise<void> {
  const own = group();
  const prefix = `barrier/${++own.barriers}`;
  await own.store.set(`${prefix}/${own.ranks.rank}`, '');
  await all(own, (rank) => `${prefix}/${rank}`, 'meet', seconds);
}

/**
 * Makes sure that all ranks have the same facts, such as a version, a seed or the data's hash. All ranks must call it.
 *
 * @example await agree({ version: '1.2.3', seed: 7 });
 * @throws DistributedError with the values that differ and the ranks that have them
 */
export async function agree(facts: Readonly<Record<string, string | number>>): Promise<void> {
  const own = group();
  const prefix = `agree/${++own.agreements}`;
  const mine = Object.entries(facts);
  await own.store.set(`${prefix}/${own.ranks.rank}`, JSON.stringify(mine));
  const subject = mine.map(([name]) => name).join(', ');
  const texts = await all(own, (rank) => `${prefix}/${rank}`, `compare ${subject}`);
  const theirs = texts.map((text) => new Map(JSON.parse(text) as [string, string | number][]));
  const differences = [...new Set(theirs.flatMap((map) => [...map.keys()]))].flatMap((name) => {
    const byValue = new Map<string, number[]>();
    for (const [rank, map] of theirs.entries()) {
      const value = String(map.get(name) ?? 'nothing');
      byValue.set(value, [...(byValue.get(value) ?? []), rank]);
    }
    const parts = [...byValue].map(
      ([value, ranks]) => `${names(ranks)} ${ranks.length === 1 ? 'has' : 'have'} ${value}`,
    );
    return byValue.size === 1 ? [] : [`${name}: ${parts.join(', ')}`];
  });
  if (differences.length > 0) throw new DistributedError(`the ranks do not agree. ${differences.join('. ')}.`);
}

/** Leaves the group when all ranks have come to this, so that rank 0's store is there for everyone to the end. */
export async function destroyProcessGroup(): Promise<void> {
  if (!current) return;
  const { ranks, store } = current;
  current = undefined;
  try {
    await store.set(`left/${ranks.rank}`, '');
    if (ranks.rank === 0)
      await new Store(10)
        .wait(Array.from({ length: ranks.worldSize }, (_, rank) => `left/${rank}`))
        .catch(() => undefined);
  } finally {
    await native.closeGroup(true);
  }
}

/**
 * Leaves the group because of an error of this rank's own: the others stop too and say the reason. Does nothing more
 * where the others were the reason.
 */
export async function abortProcessGroup(reason: Error): Promise<void> {
  if (!current) return;
  const { ranks } = current;
  current = undefined;
  if (reason instanceof DistributedError) return;
  await sayStopped(ranks.rank, reason.message).catch(() => undefined);
  await within(2, 'closing', native.closeGroup(false)).catch(() => undefined);
  // The reason is in rank 0's store: the others need a moment to read it.
  if (ranks.rank === 0 && !ranks.agentStore) await new Promise((resolve) => setTimeout(resolve, 3000));
}

function group(): Group {
  if (!current) throw new DistributedError('there is no process group: initProcessGroup comes first');
  return current;
}

/** Starts an operator and waits until the tensors are filled. */
function collective(kind: string, tensors: readonly Tensor[], start: () => unknown): Promise<void> {
  const own = group();
  const label = `${kind} ${++own.collectives}`;
  const run = async () => {
    if (own.failure) throw await own.failure;
    native.note(label);
    try {
      noGrad(start);
      const waiting = native.waitTensors(tensors.map((tensor) => tensor.handle));
      await within(own.seconds + GRACE, label, waiting);
    } catch (error) {
      await fail(own, label, error as Error);
    }
  };
  const done = run();
  // Whoever started it may wait for something else first; the error is there when it is waited for.
  done.catch(() => undefined);
  return done;
}

/** Finds out whose fault it was, once; the first collective that failed tells. */
async function fail(own: Group, label: string, error: Error): Promise<never> {
  own.failure ??= (async () => {
    // Gloo says in its message alone that it has waited long enough.
    const late = error instanceof LateError || /timed? ?out/i.test(error.message);
    const head = late ? `${label} did not end within ${own.seconds} s` : `${label} failed`;
    try {
      const reason = (await own.pulse.diagnose()) ?? (late ? own.pulse.behind(label) : undefined);
      return new DistributedError(`${head}: ${reason ?? `all ranks answer, but ${error.message}`}.`, error);
    } catch {
      return new DistributedError(`${head}: ${keeperOf(own)} has ended or is out of reach.`, error);
    }
  })();
  throw await own.failure;
}

function keeperOf({ ranks }: Group): string {
  return ranks.agentStore ? "the launcher's store" : 'rank 0, which keeps the store,';
}

/** The values that all ranks set under a key each; names those that do not come. */
async function all(own: Group, key: (rank: number) => string, toDo: string, seconds = own.seconds): Promise<string[]> {
  const keys = Array.from({ length: own.ranks.worldSize }, (_, rank) => key(rank));
  const missing = async (absent: readonly string[], over: boolean) => {
    const ranks = absent.map((name) => keys.indexOf(name));
    if (over && ranks.length) return `${names(ranks)} of ${keys.length} did not come to ${toDo} within ${seconds} s.`;
    const trouble = await own.pulse.trouble();
    return trouble && `waiting for ${names(ranks)} to ${toDo}: ${trouble}.`;
  };
  try {
    return await new Store(seconds, Math.min(seconds, own.seconds)).getAll(keys, missing);
  } catch (error) {
    if (error instanceof DistributedError) throw error;
    const gone = `${keeperOf(own)} has ended or is out of reach`;
    throw new DistributedError(`waiting for the others to ${toDo}: ${gone}.`, error);
  }
}
