// What a person should know of the data before the first step: targets that the model can never give, rows in both
// splits.
import { chatEnds } from '../models/chat.js';
import type { LanguageModel, ModelShape } from '../models/model.js';
import { joinedTarget } from '../models/tokenize.js';
import type { Example, Task } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { writeTokenList } from './token-list.js';

/** At most this many targets are looked at, evenly taken: some ten thousand tokens, half a second. */
const largestSample = 2000;

/**
 * Notes, as sentences, on a task's data: targets that do not come back by decoding, inputs with characters that the
 * model does not know, labels that are the same tokens, examples that stand in both splits, conversations whose turns
 * end with what is no end to the model.
 */
export function dataNotes(
  task: Pick<Task, 'name' | 'labels'>,
  train: readonly Example[],
  validation: readonly Example[],
  {
    tokenizer,
    model: { kind, shape },
  }: {
    readonly tokenizer: Tokenizer;
    readonly model: Pick<LanguageModel, 'kind'> & { readonly shape: Pick<ModelShape, 'endOfSequence'> };
  },
): string[] {
  const joined = (target: string) => joinedTarget(target, kind);
  const encode = (target: string) => tokenizer.encode(joined(target), { specialTokens: false });
  const every = Math.max(1, Math.ceil(train.length / largestSample));
  const sample = train.filter((_, i) => i % every === 0);
  return [
    ...lostTargets(sample, every > 1, { joined, encode }, tokenizer),
    ...unknownInInputs(sample, every > 1, tokenizer),
    ...sameLabels(task.labels ?? [], encode),
    ...commonExamples(train, validation),
    ...strangeEnds(train, shape.endOfSequence, tokenizer),
  ].map((note) => `task ${task.name}: ${note}`);
}

type Encode = (target: string) => readonly number[];

function lostTargets(
  sample: readonly Example[],
  isPart: boolean,
  { joined, encode }: { joined: (target: string) => string; encode: Encode },
  tokenizer: Tokenizer,
): string[] {
  const known = new Map<string, string>();
  const comesBackAs = (target: string): string => {
    const text = known.get(target) ?? tokenizer.decode(encode(target)).trim();
    known.set(target, text);
    return text;
  };
  const isKept = (target: string) => target === target.trim() && (tokenizer.keeps?.(joined(target)) ?? false);
  const lost = sample.filter(({ target }) => !isKept(target) && comesBackAs(target) !== target);
  const [first] = lost;
  if (first === undefined) return [];
  const seen = tokenizer.decode(encode(first.target), { specialTokens: true }).trim();
  const remedy = addable(
    lost.map(({ target }) => target),
    tokenizer,
  );
  return [
    `${lost.length} of ${sample.length} targets ${isPart ? 'looked at ' : ''}cannot be written with the model's ` +
      `tokens: ${quoted(first.target)} (${first.location}) becomes ${quoted(seen)}. The model will never give them ` +
      `as they are. ${remedy === undefined ? 'Write' : `Add what is missing: ${remedy}. Or write`} them with ` +
      "characters that it has, or take a model whose tokenizer has these (ByT5's and most decoder-only ones do)",
  ];
}

function unknownInInputs(sample: readonly Example[], isPart: boolean, tokenizer: Tokenizer): string[] {
  const { unknown } = tokenizer;
  if (unknown === undefined) return [];
  // Each character is asked once: to encode thousands of inputs would take seconds.
  const isUnknown = new Map<string, boolean>();
  const unknownOf = (input: string) =>
    [...new Set(input)].filter((one) => {
      if (!isUnknown.has(one)) isUnknown.set(one, tokenizer.encode(one).includes(unknown));
      return isUnknown.get(one);
    });
  const suspects = sample.filter(({ input }) => unknownOf(input).length > 0);
  // Where tokens are words, a character may be known in them alone: then the inputs themselves are asked.
  const asked = suspects.slice(0, mostAsked);
  const found = asked.filter(({ input }) => tokenizer.encode(input).includes(unknown));
  const holding = found.length === asked.length ? suspects : found;
  const [first] = holding;
  if (first === undefined) return [];
  const shown = unknownOf(first.input)
    .slice(0, 10)
    .map((one) => JSON.stringify(one));
  return [
    `${holding.length} of ${sample.length} inputs ${isPart ? 'looked at ' : ''}hold characters that the model does ` +
      `not know, such as ${shown.join(', ')} (${first.location}): it cannot tell them apart`,
  ];
}

/** Inputs that are encoded as a whole to look for unknown characters. */
const mostAsked = 200;

/** More characters than this are another script, which needs another model. */
const mostAdded = 50;

/** The flag that adds the characters which texts lose; undefined where that is no help. */
function addable(texts: readonly string[], tokenizer: Tokenizer): string | undefined {
  if (!tokenizer.extended) return undefined;
  const isLost = (one: string) => {
    const text = `a${one}b`;
    return tokenizer.decode(tokenizer.encode(text, { specialTokens: false })).trim() !== text;
  };
  const lost = [...new Set(texts.flatMap((text) => [...text]))].filter((one) => one !== ' ' && isLost(one));
  if (lost.length === 0 || lost.length > mostAdded) return undefined;
  return `--add-tokens '${writeTokenList(lost).replaceAll("'", "'\\''")}'`;
}

function sameLabels(labels: readonly string[], encode: Encode): string[] {
  const byTokens = new Map<string, string[]>();
  for (const label of labels) {
    const key = encode(label).join();
    byTokens.set(key, [...(byTokens.get(key) ?? []), label]);
  }
  return [...byTokens.values()]
    .filter((same) => same.length > 1)
    .map(
      (same) =>
        `the labels ${same.map(quoted).join(' and ')} are the same tokens to this model: it cannot tell them ` +
        'apart. Rename them',
    );
}

function commonExamples(train: readonly Example[], validation: readonly Example[]): string[] {
  const key = ({ input, target }: Example) => JSON.stringify([input, target]);
  // Keys are made of those alone that may be in both.
  const inputs = new Set(validation.map(({ input }) => input));
  const trained = new Set(train.filter(({ input }) => inputs.has(input)).map(key));
  const common = validation.filter((example) => trained.has(key(example)));
  const [first] = common;
  if (first === undefined) return [];
  return [
    `${common.length} of ${validation.length} validation examples are training examples, too, such as ` +
      `${first.location}: scores on them do not show what the model has learned. Remove them from one of the two`,
  ];
}

function strangeEnds(train: readonly Example[], ends: readonly number[], tokenizer: Tokenizer): string[] {
  if (!train[0]?.chat) return [];
  const [id] = chatEnds(train, tokenizer);
  if (id === undefined)
    return ["the chat template puts no end token behind the assistant's turns: the model will not learn to stop"];
  if (ends.includes(id)) return [];
  const name = tokenizer.decode([id], { specialTokens: true });
  return [
    `turns end with ${name} (${id}), which the model's files do not call an end of sequence. promot ends answers ` +
      'there; for other programs add it to eos_token_id in generation_config.json',
  ];
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)} ...` : text);
}
