// Training by several processes (ranks) at once: each takes some passes of every batch, gradients are summed, rank 0
// alone writes. Without a process group everything here is the identity.
import { createHash } from 'node:crypto';
import { distributed, noGrad, type Parameters, scope, type Tensor, threads } from '@promot/torch';
import { isRun } from '../artifacts/run-file.js';
import { UserError } from '../base/errors.js';
import { version } from '../base/version.js';
import { type Block, parametersOf } from '../models/blocks.js';
import type { LanguageModel } from '../models/model.js';
import { fingerprintExamples } from '../tasks/task.js';
import type { MicroBatch } from './micro-batch.js';
import type { RunSetup } from './setup.js';

/** Whether this is the rank that writes files and talks to the person. */
export function isFirst(): boolean {
  return distributed.getRank() === 0;
}

/** What rank 0 finds, for all: files are read by one. */
export async function fromFirst<T>(find: () => T): Promise<T> {
  return distributed.broadcastObject(isFirst() ? find() : (undefined as T));
}

const longestWriteSeconds = 3600;

/** After rank 0 has written something large: the others wait as long as it lives. */
export async function waitForWriter(): Promise<void> {
  if (distributed.isInitialized()) await distributed.monitoredBarrier(longestWriteSeconds);
}

/** Throws a UserError where a rank does not see the run folder that rank 0 has made: each writes its rows there. */
export async function checkShared(out: string): Promise<void> {
  // Rank 0 has made it before any asks.
  await fromFirst(() => out);
  const seen = await distributed.allGatherObject(isRun(out));
  const blind = seen.indexOf(false);
  if (blind >= 0)
    throw new UserError(
      `${out}: rank ${blind} does not see this folder: with shard all ranks write to it, so they must share it`,
    );
}

/** Copies rank 0's numbers into the tensors of all. */
export async function copyFromFirst(tensors: Iterable<Tensor>): Promise<void> {
  if (!distributed.isInitialized()) return;
  for (const tensor of tensors) await distributed.broadcast(tensor);
}

/**
 * A signal for work in which all ranks must go the same way: in a group it is set when all have called `agreeToStop`
 * and the own signal of one was set, not in the midst of things.
 */
export function jointSignal(own: AbortSignal | undefined): {
  signal: AbortSignal | undefined;
  agreeToStop: () => Promise<void>;
} {
  if (!distributed.isInitialized()) return { signal: own, agreeToStop: async () => {} };
  const joint = new AbortController();
  const agreeToStop = async () => {
    const stopping = await distributed.allGatherObject(own?.aborted ?? false);
    if (stopping.includes(true)) joint.abort();
  };
  return { signal: joint.signal, agreeToStop };
}

/**
 * Makes sure that all ranks do the same work: promot's version, settings, examples, weights, threads.
 * @throws DistributedError with the values that differ
 */
export async function agreeOn({ config, tasks, loaded, shards }: RunSetup): Promise<void> {
  if (!distributed.isInitialized()) return;
  const { device } = loaded.model.embedding;
  if (device !== 'cpu' && !distributed.backends().nccl) throw new UserError(distributed.howToGetNccl);
  const hashes = tasks.map(({ task, examples, validation }) => {
    const data = fingerprintExamples([...examples.examples, ...validation]);
    return [`task ${task.name}`, `version ${task.version}, data ${data.slice(0, 16)}`] as const;
  });
  await distributed.agree({
    promot: version(),
    ...Object.fromEntries(Object.entries(config).map(([name, value]) => [`setting ${name}`, JSON.stringify(value)])),
    ...Object.fromEntries(hashes),
    device,
    // Ranks that hold other rows of a model compare what they saw of each parameter.
    model: weightsOf(
      shards?.part === 'all' ? shards.wholeOf(loaded.model.parameters).values() : loaded.model.parameters.values(),
      shards?.firstRows,
    ),
    // Sums over a tensor depend on how many threads share it, and the ranks' weights must stay the same bit for bit.
    threads: threads(),
  });
}

/** A number that tells one set of weights from another. */
function weightsOf(parameters: Iterable<Tensor>, firstRows: readonly number[] = []): string {
  const own = noGrad(() => scope(() => [...parameters].map((parameter) => parameter.to('float64').sum().item())));
  const sums = [...own, ...firstRows];
  return createHash('sha256').update(new Float64Array(sums)).digest('hex').slice(0, 16);
}

/**
 * Which passes of a batch this rank takes, in order. Whole passes are handed out, the longest first, each to the rank
 * that has the fewest tokens so far: so a pass is computed as one process computes it, dropout included. All ranks come
 * to the same answer.
 */
export function ownPasses(
  passes: readonly MicroBatch[],
  rank = distributed.getRank(),
  ranks = distributed.getWorldSize(),
): number[] {
  const sizes = passes.map(tokensOf);
  const order = sizes.map((_, pass) => pass).sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const loads = Array.from({ length: ranks }, () => 0);
  const own: number[] = [];
  for (const pass of order) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least]! += sizes[pass]!;
    if (least === rank) own.push(pass);
  }
  return own.sort((a, b) => a - b);
}

/** A pass that a rank goes through; one that does not count is there to go along with the others. */
export interface OwnPass {
  readonly pass: number;
  readonly counts: boolean;
}

/**
 * The passes of this rank where all ranks go through the blocks of a model together: as many on each, those of a round
 * with the same blocks and of about the same size. A rank that has none left repeats the smallest, for nothing.
 */
export function roundsOf(
  passes: readonly MicroBatch[],
  rank = distributed.getRank(),
  ranks = distributed.getWorldSize(),
): OwnPass[] {
  // What a decoder-only model does depends on whether there is a prompt, and tokens beside it.
  const kindOf = ({ prompt, examples }: MicroBatch) =>
    `${prompt !== undefined} ${examples.some(({ input, target }) => input.length + target.length > 1)}`;
  const kinds = [...new Set(passes.map(kindOf))];
  return kinds.flatMap((kind) => {
    const own = passes.flatMap((pass, i) => (kindOf(pass) === kind ? [i] : []));
    own.sort((a, b) => tokensOf(passes[b]!) - tokensOf(passes[a]!) || a - b);
    return Array.from({ length: Math.ceil(own.length / ranks) }, (_, round) => {
      const pass = own[round * ranks + rank];
      return pass === undefined ? { pass: own.at(-1)!, counts: false } : { pass, counts: true };
    });
  });
}

/** What a pass costs: its places, padding and prompt included. */
function tokensOf({ examples, prompt }: MicroBatch): number {
  const longest = (of: (example: MicroBatch['examples'][number]) => number) => Math.max(...examples.map(of));
  const rows = (prompt?.size(0) ?? 0) + longest((e) => e.input.length) + longest((e) => e.target.length);
  return examples.length * rows;
}

/** Sums what the ranks' passes gave. */
export class Sums {
  readonly #buckets: distributed.GradientBuckets | undefined;
  readonly #trained: ReadonlySet<Tensor>;

  constructor(trained: Parameters, { blocks }: LanguageModel) {
    this.#trained = new Set(trained.values());
    if (!distributed.isInitialized()) return;
    // The last block's gradients are ready first; what belongs to no block waits for the end.
    const inBlocks = new Set(blocks.list.flatMap(parametersOf).filter((one) => this.#trained.has(one)));
    const others = [...this.#trained].filter((one) => !inBlocks.has(one));
    this.#buckets = new distributed.GradientBuckets([...[...inBlocks].reverse(), ...others]);
  }

  /** Says that nothing more is added to a block's gradients in this step, but to that of `later`. Does not wait. */
  ready(block: Block, later?: Tensor): void {
    if (!this.#buckets) return;
    for (const parameter of parametersOf(block))
      if (parameter !== later && this.#trained.has(parameter)) this.#buckets.ready(parameter);
  }

  /**
   * Adds the gradients of all ranks up, in place, and gives the losses of all passes, those of others included;
   * undefined where a rank has `failed`: then the gradients are of no use.
   */
  async add(losses: ReadonlyMap<number, number>, failed = false): Promise<Map<number, number> | undefined> {
    if (!this.#buckets) return failed ? undefined : new Map(losses);
    await this.#buckets.finish();
    const all = await distributed.allGatherObject(failed ? undefined : [...losses]);
    return all.includes(undefined) ? undefined : new Map(all.flatMap((own) => own ?? []));
  }
}
