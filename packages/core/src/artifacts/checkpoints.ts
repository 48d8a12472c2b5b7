// The checkpoints of a run, checkpoints/STAGE-STEP: trained.safetensors, optimizer.safetensors, and state.json, which
// vouches for both. Where a model or its optimizer is divided over ranks, each rank writes files of its own.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  allFinite,
  distributed,
  noGrad,
  type Optimizer,
  openSafetensors,
  scope,
  type Tensor,
  writeSafetensors,
} from '@promot/torch';
import { UserError } from '../base/errors.js';
import { temporaryName } from '../base/write.js';
import { type PartedTensor, Parts, partName, partsIn, type Rows, writePart } from './parts.js';
import { digits } from './samples-file.js';
import { type Candidate, type CheckpointFiles, readState, type StageState, writeState } from './state-file.js';

/** What must be there, beside a checkpoint itself, for a stage to go on from it. */
export interface Needs {
  /** Steps whose weights may become the result. */
  readonly weights: readonly number[];
  /** A step that the stage may go back to. */
  readonly whole?: number;
}

/** What was found of a checkpoint. */
interface Look {
  readonly state?: StageState;
  /** Why it is of no use. */
  readonly problem?: string;
  /** Whether training can go on from it: old ones keep their weights only. */
  readonly whole: boolean;
}

const weightsName = 'trained';
const optimizerName = 'optimizer';
const fileOf = (name: string) => `${name}.safetensors`;
const stateName = 'state.json';

export class Checkpoints {
  /** Where stages stand, as far as it was asked for and nothing was written since. */
  readonly #known = new Map<string, StageState | undefined>();

  /**
   * @param folder of the checkpoints
   * @param writes false where another process writes the same run: then nothing is
   */
  constructor(
    readonly folder: string,
    readonly writes = true,
  ) {}

  /** Writes a checkpoint under a temporary name and renames it: a checkpoint is whole or not there. */
  save(state: StageState, trained: ReadonlyMap<string, Tensor>, optimizer: ReadonlyMap<string, Tensor>): void {
    if (!this.writes) return;
    const temporary = this.#begin(state);
    const put = (name: string, tensors: ReadonlyMap<string, Tensor>) => {
      const hash = createHash('sha256');
      noGrad(() => writeSafetensors(join(temporary, fileOf(name)), tensors, {}, hash));
      return [fileOf(name), hash.digest('hex')] as const;
    };
    try {
      const files = Object.fromEntries([put(weightsName, trained), put(optimizerName, optimizer)]);
      this.#end(state, temporary, files);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * As `save`, by all ranks together: each writes the rows that it gives here. They must see the same folder.
   * Errors: where a rank could not write, its own error there, and one that names it on the others.
   */
  async saveParts(
    state: StageState,
    trained: ReadonlyMap<string, Rows>,
    optimizer: ReadonlyMap<string, Rows>,
  ): Promise<void> {
    const [rank, ranks] = [distributed.getRank(), distributed.getWorldSize()];
    const temporary = await distributed.broadcastObject(this.writes ? this.#begin(state) : '');
    try {
      const put = (name: string, tensors: ReadonlyMap<string, Rows>) => {
        const file = partName(name, rank, ranks);
        const hash = createHash('sha256');
        writePart(join(temporary, file), tensors, hash);
        return [file, hash.digest('hex')] as const;
      };
      const written = [put(weightsName, trained), put(optimizerName, optimizer)];
      const files = Object.fromEntries((await distributed.allGatherObject(written)).flat());
      if (this.writes) this.#end(state, temporary, files);
    } catch (error) {
      if (this.writes) rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  /** Makes the folder that becomes a checkpoint. */
  #begin({ stage, step }: StageState): string {
    this.#known.delete(stage);
    const temporary = temporaryName(this.path(stage, step));
    mkdirSync(temporary);
    return temporary;
  }

  #end(state: StageState, temporary: string, files: CheckpointFiles): void {
    const final = this.path(state.stage, state.step);
    writeState(join(temporary, stateName), state, files);
    rmSync(final, { recursive: true, force: true });
    renameSync(temporary, final);
  }

  /** Rewrites what the checkpoint of this stage and step says of the stage: its tensors stay. */
  update(state: StageState): void {
    if (!this.writes) return;
    this.#known.delete(state.stage);
    const path = join(this.path(state.stage, state.step), stateName);
    writeState(path, state, readState(path).files ?? this.#hashed(state));
  }

  /**
   * Keeps the two newest checkpoints, so that training can go on from the one before should the newest be damaged, and
   * of the `wanted` and the `keepLast` newest kept ones of the stage the weights; of step `whole` all.
   */
  prune(state: StageState, keepLast: number, wanted: readonly Candidate[] = [], whole?: number): void {
    if (!this.writes) return;
    const kept = new Set(state.candidates.slice(Math.max(0, state.candidates.length - keepLast)).map((c) => c.step));
    for (const { step } of wanted) kept.add(step);
    for (const step of this.steps(state.stage).slice(0, -2)) {
      if (step === whole) continue;
      const folder = this.path(state.stage, step);
      if (!kept.has(step)) rmSync(folder, { recursive: true, force: true });
      else for (const file of partsIn(folder, optimizerName)) rmSync(join(folder, file), { force: true });
    }
  }

  /**
   * Puts the files of a stage back to a step: the checkpoint of that step says `state` from now on, and later ones are
   * deleted. A process that is killed meanwhile finds the later ones, or the earlier with its new state.
   */
  goBack(state: StageState): void {
    if (!this.writes) return;
    this.update(state);
    this.#removeAfter(state.stage, state.step);
  }

  /** Deletes all checkpoints of a stage but one. */
  removeAllBut(stage: string, step: number): void {
    if (!this.writes) return;
    this.#known.delete(stage);
    for (const other of this.steps(stage)) if (other !== step) this.#remove(stage, other);
  }

  /**
   * Where a stage stands: at its newest checkpoint that is what was written and whose needs are there, too; undefined
   * where it begins (anew). Damaged checkpoints are set aside, and what was made after the one that counts is deleted:
   * it is made anew, with the same bits.
   * @param tell hears of each that is set aside, and from where the stage goes on
   */
  recover(stage: string, needs: (state: StageState) => Needs, tell: (text: string) => void): StageState | undefined {
    if (this.#known.has(stage)) return this.#known.get(stage);
    let isLess = false;
    const setAside = (step: number, problem: string) => {
      isLess = true;
      tell(
        `stage ${stage}: its checkpoint of step ${step} is damaged (${problem}): set aside as ` +
          `${this.#setAside(stage, step)}`,
      );
    };
    let found: StageState | undefined;
    for (const step of this.steps(stage).reverse()) {
      // What a later one needs may have been set aside.
      if (!existsSync(this.path(stage, step))) continue;
      const { state, problem, whole } = this.#look(stage, step);
      if (problem !== undefined) setAside(step, problem);
      else if (whole && state) {
        if (this.#has(state, needs(state), setAside)) {
          found = state;
          break;
        }
        isLess = true;
      }
    }
    if (isLess) {
      tell(`stage ${stage}: ${found ? `goes on from step ${found.step}` : 'begins anew'}`);
      this.#removeAfter(stage, found?.step ?? -1);
    }
    this.#known.set(stage, found);
    return found;
  }

  /** Whether a checkpoint's weights are what was written; where not, it is set aside. */
  hasWeights(stage: string, step: number, tell: (text: string) => void): boolean {
    const { problem } = existsSync(this.path(stage, step)) ? this.#look(stage, step) : { problem: 'it is gone' };
    if (problem === undefined) return true;
    this.#known.delete(stage);
    const where = existsSync(this.path(stage, step)) ? `: set aside as ${this.#setAside(stage, step)}` : '';
    tell(`stage ${stage}: its checkpoint of step ${step} is damaged (${problem})${where}`);
    return false;
  }

  /** Copies a checkpoint's weights into the trained tensors. */
  load(stage: string, step: number, into: ReadonlyMap<string, Tensor>): void {
    const copy = (tensor: Tensor, found: PartedTensor) => void tensor.copy_(found.read());
    this.#read(join(this.path(stage, step), weightsName), into, copy);
  }

  /**
   * Puts a stage back where a checkpoint left it. Throws UserError where the checkpoint does not fit what is trained.
   */
  restore({ stage, step }: StageState, trained: ReadonlyMap<string, Tensor>, optimizer: Optimizer): void {
    this.load(stage, step, trained);
    const path = join(this.path(stage, step), optimizerName);
    const parts = new Parts(this.path(stage, step), optimizerName);
    try {
      scope(() => optimizer.restore(new Map([...parts.tensors].map(([name, one]) => [name, one.read()])), step));
    } catch (error) {
      throw new UserError(`${path}: it does not fit this run: ${(error as Error).message}`, {
        code: 'changed',
        cause: error,
      });
    } finally {
      parts.close();
    }
  }

  /**
   * Gives the tensors of a checkpoint one after the other, by the names that are asked for: what is trained, and the
   * optimizer's where it is asked for. Throws UserError where the checkpoint does not hold just these.
   */
  read<T extends { readonly shape: readonly number[] }>(
    { stage, step }: Pick<StageState, 'stage' | 'step'>,
    trained: ReadonlyMap<string, T>,
    optimizer: ReadonlyMap<string, T> | undefined,
    take: (wanted: T, found: PartedTensor) => void,
  ): void {
    this.#read(join(this.path(stage, step), weightsName), trained, take);
    if (optimizer) this.#read(join(this.path(stage, step), optimizerName), optimizer, take);
  }

  #read<T extends { readonly shape: readonly number[] }>(
    path: string,
    wanted: ReadonlyMap<string, T>,
    take: (wanted: T, found: PartedTensor) => void,
  ): void {
    const parts = new Parts(dirname(path), basename(path));
    try {
      const surplus = [...parts.tensors.keys()].find((name) => !wanted.has(name));
      if (surplus !== undefined) throw new UserError(`${path}: it does not fit this run: it has ${surplus}`);
      for (const [name, one] of wanted) {
        const found = parts.tensors.get(name);
        if (found?.shape.join() !== one.shape.join())
          throw new UserError(
            `${path}: it does not fit this run: ${name} is ${found ? `[${found.shape}]` : 'missing'}`,
          );
        noGrad(() => scope(() => take(one, found)));
      }
    } finally {
      parts.close();
    }
  }

  path(stage: string, step: number): string {
    return join(this.folder, `${stage}-${digits(step)}`);
  }

  /** Steps that have a checkpoint, ascending. */
  steps(stage: string): number[] {
    return readdirSync(this.folder)
      .filter((name) => name.startsWith(`${stage}-`) && /^\d{6,}$/.test(name.slice(stage.length + 1)))
      .map((name) => Number(name.slice(stage.length + 1)))
      .sort((a, b) => a - b);
  }

  /** Whether what a state needs is there. */
  #has({ stage, step }: StageState, needs: Needs, setAside: (step: number, problem: string) => void): boolean {
    let complete = true;
    for (const other of new Set([...needs.weights, ...(needs.whole === undefined ? [] : [needs.whole])])) {
      if (other === step) continue;
      if (!existsSync(this.path(stage, other))) complete = false;
      else {
        const { problem, whole } = this.#look(stage, other);
        if (problem !== undefined) setAside(other, problem);
        if (problem !== undefined || (other === needs.whole && !whole)) complete = false;
      }
    }
    return complete;
  }

  #look(stage: string, step: number): Look {
    const folder = this.path(stage, step);
    const broken = (problem: string): Look => ({ problem, whole: false });
    const weights = partsIn(folder, weightsName);
    if (weights.length === 0) return broken(`${fileOf(weightsName)} is missing`);
    let read: ReturnType<typeof readState>;
    try {
      read = readState(join(folder, stateName));
    } catch {
      return broken(`${stateName} is not what was written`);
    }
    const { state, files } = read;
    if (state.stage !== stage || state.step !== step) return broken(`${stateName} is of another checkpoint`);
    const named = (name: string, there: readonly string[]) =>
      files ? Object.keys(files).filter((file) => file.startsWith(`${name}.`) || file.startsWith(`${name}-`)) : there;
    const missing = named(weightsName, weights).find((file) => !weights.includes(file));
    if (missing !== undefined) return broken(`${missing} is missing`);
    const optimizer = partsIn(folder, optimizerName);
    // Where some of its files are gone, it was being reduced to its weights.
    const whole = optimizer.length > 0 && named(optimizerName, optimizer).every((file) => optimizer.includes(file));
    for (const file of whole ? [...weights, ...optimizer] : weights) {
      const isGood = files ? sha256(join(folder, file)) === files[file] : isSound(join(folder, file));
      if (!isGood) return broken(`${file} is not what was written`);
    }
    return { state, whole };
  }

  #hashed({ stage, step }: StageState): CheckpointFiles {
    const folder = this.path(stage, step);
    const files = [...partsIn(folder, weightsName), ...partsIn(folder, optimizerName)];
    return Object.fromEntries(files.map((file) => [file, sha256(join(folder, file))]));
  }

  /** Renames a checkpoint so that it no longer counts; its new name. */
  #setAside(stage: string, step: number): string {
    const path = this.path(stage, step);
    let aside = `${path}.damaged`;
    for (let i = 2; existsSync(aside); i++) aside = `${path}.damaged-${i}`;
    renameSync(path, aside);
    return aside;
  }

  #removeAfter(stage: string, last: number): void {
    for (const step of this.steps(stage).reverse()) if (step > last) this.#remove(stage, step);
  }

  #remove(stage: string, step: number): void {
    rmSync(this.path(stage, step), { recursive: true, force: true });
  }
}

/** SHA-256 (hex) of a file. */
function sha256(path: string): string {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(1 << 22);
  const file = openSync(path, 'r');
  try {
    for (let n = readSync(file, piece); n > 0; n = readSync(file, piece)) hash.update(piece.subarray(0, n));
  } finally {
    closeSync(file);
  }
  return hash.digest('hex');
}

/** All that can be said of a file that nothing vouches for: it can be read, and its numbers are finite. */
function isSound(path: string): boolean {
  try {
    const file = openSafetensors(path);
    try {
      return noGrad(() => scope(() => allFinite([...file.entries.keys()].map((name) => file.tensor(name)))));
    } finally {
      file.close();
    }
  } catch {
    return false;
  }
}
