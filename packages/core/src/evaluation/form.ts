// Which outputs have the form of the task that a model was fine-tuned on: one of its labels, or its answers' language
// (paper, section 3.2 and Figure 2: "True" and "False" as answers to questions; A.3.8: French in place of German).
import { labelForm } from '../metrics/labels.js';
import type { Task } from '../tasks/task.js';

/** What an output is looked at for. */
export type TargetForm = { readonly labels: readonly string[] } | { readonly language: Language };

/**
 * For each output, as its task's `postprocess` leaves it, whether it has one of the forms (a model may have several
 * targets). Labels: it begins with one of them, see `labelForm`. Language: see `Language`.
 */
export function inTargetForm(outputs: readonly string[], ...forms: readonly TargetForm[]): boolean[] {
  const tests = forms.map((form) =>
    'language' in form ? (output: string) => form.language.has(output) : labelForm(form.labels),
  );
  return outputs.map((output) => tests.some((has) => has(output)));
}

/** Percent of the outputs that have one of the forms; 0 where there are none. */
export function formShare(outputs: readonly string[], ...forms: readonly TargetForm[]): number {
  return outputs.length === 0 ? 0 : (100 * inTargetForm(outputs, ...forms).filter(Boolean).length) / outputs.length;
}

/** Enough to know a language by (see the errors below), and learned in a second. */
const examplesPerTask = 2000;

/**
 * The form of a task's answers, to be looked for in the outputs on others: its labels where they are a closed set, else
 * the language of its training targets, as against the references of the other tasks (of their training split, or the
 * first they have). Leave tasks whose answers are in the target's own language out of `others`. Errors: those of
 * loading the tasks' data.
 *
 * @example
 * const [target, other] = [await loadTask('multi30k-en-fr', { data }), await loadTask('multi30k-en-de', { data })];
 * const form = await targetForm(target, [other]);
 * const share = formShare(outputs, form);
 */
export async function targetForm(target: Task, others: readonly Task[]): Promise<TargetForm> {
  if (target.labels) return { labels: target.labels };
  const references = async (task: Task) => {
    const split = task.source.splits.includes('train') ? 'train' : task.source.splits[0]!;
    return (await task.load(split)).slice(0, examplesPerTask).flatMap((example) => example.references);
  };
  const own = (await target.load('train')).slice(0, examplesPerTask).map((example) => example.target);
  const language = Language.learn(`the language of ${target.name}`, own, await Promise.all(others.map(references)));
  return { language };
}

/** Lengths of the character n-grams that are counted. */
const orders = [1, 2, 3] as const;

/**
 * Tells texts in one language (or wording) from others by their characters: multinomial naive Bayes over the n-grams of
 * 1 to 3 letters (those of Cavnar and Trenkle 1994, spaces at word borders included; case, digits and punctuation left
 * out), add-one smoothing, one class for the texts to recognise and one for each other kind. A text has the language
 * where that class is the most likely; a text without a letter has not, nor one of which no n-gram is known.
 *
 * One class for each other task, and not one for all of them: pooled, the rule called 2 % of English captions and 27 %
 * of TriviaQA's answers French. (The rule was chosen on the texts that it was measured on, so a little too well.)
 * Measured as `targetForm` sets it up, for multi30k-en-fr against multi30k-en-de, multi30k-en-cs, trivia-qa,
 * web-questions, xsum, rte, cb and wic, on held-out test splits. Found: 1,000 of 1,000 French captions; called French:
 * 1 of 1,000 English captions, 0 of 1,000 German and of 1,000 Czech ones, 0 of 1,279 English summaries, but 69 of 900
 * answers of TriviaQA and 129 of 1,800 of WebQuestions (7 to 8 %). Those are one to three words, mostly names, which
 * belong to no language: on such tasks read the share beside the pretrained model's. Of captions cut after three words
 * 993 of 1,000 are found, and 25 of 1,000 English ones called French. What is in none of the languages that were
 * learned counts as the nearest one: the share says little where no other task has the language that the outputs should
 * have.
 */
export class Language {
  private constructor(
    /** For reports, such as `the language of wmt14-en-fr`. */
    readonly name: string,
    /** The number of times that each class (the language itself is the first) has an n-gram. */
    private readonly counts: ReadonlyMap<string, Uint32Array>,
    /** For each order, the number of n-grams of each class, and of kinds of n-grams in all. */
    private readonly totals: readonly { readonly perClass: Float64Array; readonly kinds: number }[],
  ) {}

  /** Learns from texts in the language and from kinds of texts that are not. */
  static learn(name: string, own: readonly string[], others: readonly (readonly string[])[]): Language {
    const classes = [own, ...others];
    const counts = new Map<string, Uint32Array>();
    const totals = orders.map(() => ({ perClass: new Float64Array(classes.length), kinds: 0 }));
    for (const [number, texts] of classes.entries())
      for (const text of texts)
        for (const [order, gram] of ngrams(text)) {
          let count = counts.get(gram);
          if (!count) {
            count = new Uint32Array(classes.length);
            counts.set(gram, count);
            totals[order]!.kinds++;
          }
          count[number]!++;
          totals[order]!.perClass[number]!++;
        }
    return new Language(name, counts, totals);
  }

  /** Whether a text is in the language, rather than of one of the other kinds. */
  has(text: string): boolean {
    const [own, ...others] = this.logLikelihoods(text);
    return own !== undefined && others.every((other) => own > other);
  }

  /**
   * Log-likelihood of the text's known n-grams under each class, in nats, the language itself first; empty for none.
   */
  private logLikelihoods(text: string): number[] {
    let sums: number[] | undefined;
    for (const [order, gram] of ngrams(text)) {
      const count = this.counts.get(gram);
      if (!count) continue;
      const { perClass, kinds } = this.totals[order]!;
      sums ??= new Array<number>(count.length).fill(0);
      for (let i = 0; i < count.length; i++) sums[i]! += Math.log((count[i]! + 1) / (perClass[i]! + kinds));
    }
    return sums ?? [];
  }
}

/** The n-grams of a text's letters, each with the number of its order in `orders`. */
function* ngrams(text: string): Generator<[order: number, gram: string]> {
  const words =
    text
      .normalize('NFC')
      .toLowerCase()
      .match(/\p{L}[\p{L}\p{M}]*/gu) ?? [];
  const letters = [...` ${words.join(' ')} `];
  if (words.length === 0) return;
  for (const [number, length] of orders.entries())
    for (let i = 0; i + length <= letters.length; i++) {
      const gram = letters.slice(i, i + length).join('');
      if (gram !== ' ') yield [number, gram];
    }
}
