// The checkpoints of a run, checkpoints/STAGE-STEP: trained.safetensors, optimizer.safetensors, and state.json, which
// vouches for both.
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  allFinite,
  type LazyTensor,
  noGrad,
  type Optimizer,
  openSafetensors,
  scope,
  Tensor,
  writeSafetensors,
} from '@promot/torch';
import { UserError } from '../base/errors.js';
import { temporaryName } from '../base/write.js';
import { digits } from './samples-file.js';
import { type Candidate, type CheckpointFiles, readState, type StageState, writeState } from './state-file.js';

/** What must be there, beside a checkpoint itself, for a stage to go on from it. */
export interface Needs {
  /** Steps whose weights may become the result. */
  readonly weights: readonly number[];
  /** A step that the stage may go back to. */
  readonly whole?: number;
}

/** A tensor of a checkpoint, or one that all ranks give together. */
export type Stored = Tensor | LazyTensor;

/** What was found of a checkpoint. */
interface Look {
  readonly state?: StageState;
  /** Why it is of no use. */
  readonly problem?: string;
  /** Whether training can go on from it: old ones keep their weights only. */
  readonly whole: boolean;
}

const weightsName = 'trained.safetensors';
const optimizerName = 'optimizer.safetensors';
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
  save(state: StageState, trained: ReadonlyMap<string, Stored>, optimizer: ReadonlyMap<string, Stored>): void {
    if (!this.writes) {
      for (const one of [...trained.values(), ...optimizer.values()])
        if (!(one instanceof Tensor)) scope(() => one.read());
      return;
    }
    this.#known.delete(state.stage);
    const final = this.path(state.stage, state.step);
    const temporary = temporaryName(final);
    mkdirSync(temporary);
    const put = (name: string, tensors: ReadonlyMap<string, Stored>): string => {
      const hash = createHash('sha256');
      noGrad(() => writeSafetensors(join(temporary, name), tensors, {}, hash));
      return hash.digest('hex');
    };
    try {
      const files = {
        [weightsName]: put(weightsName, trained),
        [optimizerName]: put(optimizerName, optimizer),
      } as const;
      writeState(join(temporary, stateName), state, files);
      rmSync(final, { recursive: true, force: true });
      renameSync(temporary, final);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
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
      rmSync(kept.has(step) ? join(folder, optimizerName) : folder, { recursive: true, force: true });
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
        `stage ${stage}: its checkpoint of step ${step} is damaged (${problem}): set aside as ${this.#setAside(stage, step)}`,
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
    const file = openSafetensors(join(this.path(stage, step), weightsName));
    noGrad(() =>
      scope(() => {
        for (const [name, tensor] of into) tensor.copy_(file.tensor(name));
      }),
    );
    file.close();
  }

  /**
   * Puts a stage back where a checkpoint left it. Throws UserError where the checkpoint does not fit what is trained.
   */
  restore({ stage, step }: StageState, trained: ReadonlyMap<string, Tensor>, optimizer: Optimizer): void {
    this.load(stage, step, trained);
    const path = join(this.path(stage, step), optimizerName);
    const file = openSafetensors(path);
    try {
      scope(() => optimizer.restore(new Map([...file.entries.keys()].map((name) => [name, file.tensor(name)])), step));
    } catch (error) {
      throw new UserError(`${path}: it does not fit this run: ${(error as Error).message}`);
    } finally {
      file.close();
    }
  }

  /**
   * Gives the tensors of a checkpoint one after the other, by the names that are asked for. Throws UserError where the
   * checkpoint does not hold just these.
   */
  read(
    { stage, step }: Pick<StageState, 'stage' | 'step'>,
    trained: ReadonlyMap<string, Stored>,
    optimizer: ReadonlyMap<string, Stored> | undefined,
    take: (stored: Stored, found: Tensor) => void,
  ): void {
    const readFile = (file: string, wanted: ReadonlyMap<string, Stored>) => {
      const path = join(this.path(stage, step), file);
      const opened = openSafetensors(path);
      try {
        const surplus = [...opened.entries.keys()].find((name) => !wanted.has(name));
        if (surplus !== undefined) throw new UserError(`${path}: it does not fit this run: it has ${surplus}`);
        for (const [name, stored] of wanted) {
          const { shape } = opened.entries.get(name) ?? {};
          if (shape?.join() !== stored.shape.join())
            throw new UserError(`${path}: it does not fit this run: ${name} is ${shape ? `[${shape}]` : 'missing'}`);
          noGrad(() => scope(() => take(stored, opened.tensor(name))));
        }
      } finally {
        opened.close();
      }
    };
    readFile(weightsName, trained);
    if (optimizer) readFile(optimizerName, optimizer);
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
    const whole = existsSync(join(folder, optimizerName));
    if (!existsSync(join(folder, weightsName))) return broken(`${weightsName} is missing`);
    let read: ReturnType<typeof readState>;
    try {
      read = readState(join(folder, stateName));
    } catch {
      return broken(`${stateName} is not what was written`);
    }
    const { state, files } = read;
    if (state.stage !== stage || state.step !== step) return broken(`${stateName} is of another checkpoint`);
    for (const name of whole ? ([weightsName, optimizerName] as const) : ([weightsName] as const)) {
      const isGood = files ? sha256(join(folder, name)) === files[name] : isSound(join(folder, name));
      if (!isGood) return broken(`${name} is not what was written`);
    }
    return { state, whole };
  }

  #hashed({ stage, step }: StageState): CheckpointFiles {
    const of = (name: string) => {
      const path = join(this.path(stage, step), name);
      return existsSync(path) ? sha256(path) : '';
    };
    return { [weightsName]: of(weightsName), [optimizerName]: of(optimizerName) };
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
