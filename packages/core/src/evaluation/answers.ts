// What a model gave for the examples of a task, kept as it comes: in memory, or in a file from which an evaluation goes
// on.
import { distributed } from '@promot/torch';
import { type AnswerLine, appendAnswer, readAnswers } from '../artifacts/answers-file.js';
import type { ContinuationScore } from '../generation/score-continuations.js';
import type { LabelScore } from '../metrics/metric.js';

/** The texts that a model got, and what is to be said about them. */
interface Prompts {
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

/** Answers by the number of their example. Each kind is asked for in a pass of its own. */
export class Answers {
  readonly outputs = new Map<number, string>();
  readonly labels = new Map<number, readonly LabelScore[]>();
  readonly references = new Map<number, ReferenceScore>();
  readonly choices = new Map<number, readonly ContinuationScore[]>();
  #prompts: Prompts | undefined;
  readonly #path: string | undefined;

  /**
   * @param path of the file, see artifacts/answers-file.ts. What an earlier evaluation wrote there is taken over. A
   * last line that a crash cut is dropped. The file's name must tell all that the answers depend on. Without it nothing
   * is written.
   */
  constructor(path?: string) {
    this.#path = path;
    if (path !== undefined) this.#read(path);
  }

  get prompts(): Prompts | undefined {
    return this.#prompts;
  }

  /** Rank 0's answers so far become those of all ranks that work together; only rank 0 has a file. */
  async share(): Promise<void> {
    const { outputs, labels, references, choices } = this;
    const own = { prompts: this.#prompts, outputs, labels, references, choices };
    const first = await distributed.broadcastObject(own);
    if (first === own) return;
    this.#prompts = first.prompts;
    for (const kind of ['outputs', 'labels', 'references', 'choices'] as const)
      for (const [example, answer] of first[kind]) (this[kind] as Map<number, typeof answer>).set(example, answer);
  }

  /** To be called before the first answer is added. */
  begin(prompts: Prompts): void {
    this.#prompts = prompts;
    this.#append({ type: 'prompts', ...prompts });
  }

  addOutput(example: number, output: string): void {
    this.outputs.set(example, output);
    this.#append({ type: 'answer', example, output });
  }

  addLabels(example: number, labels: readonly LabelScore[]): void {
    this.labels.set(example, labels);
    this.#append({ type: 'answer', example, labels });
  }

  addReference(example: number, reference: ReferenceScore): void {
    this.references.set(example, reference);
    this.#append({ type: 'answer', example, reference });
  }

  addChoices(example: number, choices: readonly ContinuationScore[]): void {
    this.choices.set(example, choices);
    this.#append({ type: 'answer', example, choices });
  }

  #append(line: AnswerLine): void {
    if (this.#path !== undefined) appendAnswer(this.#path, line);
  }

  #read(path: string): void {
    for (const line of readAnswers(path)) {
      if (line.type === 'prompts') this.#prompts = line;
      else {
        const { example, output, labels, reference, choices } = line;
        if (output !== undefined) this.outputs.set(example, output);
        if (labels !== undefined) this.labels.set(example, labels);
        if (reference !== undefined) this.references.set(example, reference);
        if (choices !== undefined) this.choices.set(example, choices);
      }
    }
  }
}
