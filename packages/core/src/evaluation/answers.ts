// What a model gave for the examples of a task, kept as it comes: in memory, or in a file from which an evaluation goes on.
import { appendFileSync, existsSync, mkdirSync, readFileSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { distributed } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { LabelScore } from '../metrics/metric.js';

/** The texts that a model got, and what is to be said about them. */
export interface Prompts {
  readonly inputs: readonly string[];
  readonly notes: readonly string[];
}

/** How likely a reference is. */
export interface ReferenceScore {
  /** Sum of the log-probabilities of its tokens, in nats. */
  readonly logprob: number;
  /** The end of sequence included. */
  readonly tokens: number;
}

/** One line of the file, after the first one with the prompts. */
interface Line {
  readonly example: number;
  readonly output?: string;
  readonly labels?: readonly LabelScore[];
  readonly reference?: ReferenceScore;
}

/** Answers by the number of their example. Each kind is asked for in a pass of its own. */
export class Answers {
  readonly outputs = new Map<number, string>();
  readonly labels = new Map<number, readonly LabelScore[]>();
  readonly references = new Map<number, ReferenceScore>();
  #prompts: Prompts | undefined;
  readonly #path: string | undefined;

  /**
   * @param path a file of JSON lines. What an earlier evaluation wrote there is taken over; a last line that a crash cut is
   * dropped. Its name must tell all that the answers depend on. Without it nothing is written.
   */
  constructor(path?: string) {
    this.#path = path;
    if (path !== undefined && existsSync(path)) this.#read(path);
  }

  get prompts(): Prompts | undefined {
    return this.#prompts;
  }

  /** Rank 0's answers so far become those of all ranks that work together; only rank 0 has a file. */
  async share(): Promise<void> {
    const { outputs, labels, references } = this;
    const own = { prompts: this.#prompts, outputs, labels, references };
    const first = await distributed.broadcastObject(own);
    if (first === own) return;
    this.#prompts = first.prompts;
    for (const kind of ['outputs', 'labels', 'references'] as const)
      for (const [example, answer] of first[kind]) (this[kind] as Map<number, typeof answer>).set(example, answer);
  }

  /** To be called before the first answer is added. */
  begin(prompts: Prompts): void {
    this.#prompts = prompts;
    this.#append(prompts);
  }

  addOutput(example: number, output: string): void {
    this.outputs.set(example, output);
    this.#append({ example, output });
  }

  addLabels(example: number, labels: readonly LabelScore[]): void {
    this.labels.set(example, labels);
    this.#append({ example, labels });
  }

  addReference(example: number, reference: ReferenceScore): void {
    this.references.set(example, reference);
    this.#append({ example, reference });
  }

  #append(line: Line | Prompts): void {
    if (this.#path === undefined) return;
    mkdirSync(dirname(this.#path), { recursive: true });
    appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
  }

  #read(path: string): void {
    const bytes = readFileSync(path);
    const end = bytes.lastIndexOf('\n') + 1;
    if (end < bytes.length) truncateSync(path, end);
    const [first, ...lines] = bytes
      .toString('utf8', 0, end)
      .split('\n')
      .slice(0, -1)
      .map((text, i) => {
        try {
          return JSON.parse(text) as unknown;
        } catch {
          throw new UserError(`${path} line ${i + 1}: not JSON: the file is damaged; delete it to evaluate anew`);
        }
      });
    if (first === undefined) return;
    this.#prompts = first as Prompts;
    for (const { example, output, labels, reference } of lines as Line[]) {
      if (output !== undefined) this.outputs.set(example, output);
      if (labels !== undefined) this.labels.set(example, labels);
      if (reference !== undefined) this.references.set(example, reference);
    }
  }
}
