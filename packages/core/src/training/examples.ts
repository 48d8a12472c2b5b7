// The training examples of one task as the model sees them: cut where the task says so, exemplars in front, tokens.

import type { LoadedModel } from '../models/load.js';
import type { TokenizedExample } from '../models/model.js';
import { tokenizeExample } from '../models/tokenize.js';
import { cutInput, joinExemplars, trainingExemplar } from '../tasks/few-shot.js';
import type { Example, Task } from '../tasks/task.js';

interface TrainingExamplesOptions {
  readonly loaded: LoadedModel;
  /** Of the exemplars' draws and, in a mixture, of the order. */
  readonly seed: number;
  /** In tokens; 0: never cut. */
  readonly maxInputLength: number;
}

export class TrainingExamples {
  readonly #tokenized: (TokenizedExample | undefined)[] = [];

  constructor(
    readonly task: Task,
    readonly examples: readonly Example[],
    readonly options: TrainingExamplesOptions,
  ) {}

  /**
   * The input and target of an example; with one shot, an exemplar in front, drawn anew in every epoch, never the
   * example itself.
   */
  text(index: number, epoch: number, shots: 0 | 1): Example {
    const example = this.#shortened(index);
    if (shots === 0) return example;
    const exemplar = trainingExemplar(this.examples, index, this.options.seed, epoch);
    const shortened = this.#shortened(this.examples.indexOf(exemplar));
    return { ...example, input: joinExemplars([shortened], example.input) };
  }

  /** The same as tokens. */
  tokens(index: number, epoch: number, shots: 0 | 1): TokenizedExample {
    const { loaded, maxInputLength } = this.options;
    const make = () =>
      tokenizeExample(this.text(index, epoch, shots), loaded.tokenizer, loaded.model.kind, maxInputLength);
    if (shots > 0) return make();
    this.#tokenized[index] ??= make();
    return this.#tokenized[index];
  }

  /** Whether the task itself cuts an example. */
  isCut(index: number): boolean {
    return this.#shortened(index).input !== this.examples[index]!.input;
  }

  /** An example with its article cut where the task says so (summaries: 1,024 tokens). */
  #shortened(index: number): Example {
    const example = this.examples[index]!;
    const limit = this.task.maxInputTokens;
    if (limit === undefined) return example;
    return { ...example, input: cutInput(example, limit, (text) => this.options.loaded.tokenizer.encode(text).length) };
  }
}
