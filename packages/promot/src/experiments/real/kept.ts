// What a model can do beside its target: multiple choice and last words by likelihood, running text, answers to other
// questions, how often it answers in the target's form, and how far it is from the model that it was. Asked without the
// soft prompt, but for one distance.
import { type Observer, RandomStream } from '@promot/core/base';
import { evaluateLoaded, evaluateText, Language } from '@promot/core/evaluation';
import { generate, score } from '@promot/core/generation';
import type { LoadedModel, TokenizedExample } from '@promot/core/models';
import { loadTask, type Task } from '@promot/core/tasks';
import type { Tensor } from '@promot/torch';
import type { Target } from './targets.js';

/** `few`: what a small run can afford. `all`: three tasks more, captions in four languages, distances. */
const keptSizes = ['few', 'all'] as const;
export type KeptSize = (typeof keptSizes)[number];

/** One measure of one model: its value, and what each example gave. */
interface Measured {
  /** Percent right, bits a byte, nats a token, or percent of answers in the target's form. */
  readonly value: number;
  readonly examples: readonly number[];
}
export type KeptMeasures = ReadonlyMap<string, Measured>;

/**
 * Tasks of lm-evaluation-harness under its templates, by likelihood, with what chance gives in percent. The first three
 * are the keep list: a rate or strength is chosen by them, and the others say whether the choice was good.
 */
export const keptTasks: readonly { readonly task: string; readonly chance: number; readonly size: KeptSize }[] = [
  { task: 'arc-easy', chance: 25, size: 'few' },
  { task: 'piqa', chance: 50, size: 'few' },
  { task: 'lambada-openai', chance: 0, size: 'few' },
  { task: 'hellaswag', chance: 25, size: 'all' },
  { task: 'winogrande', chance: 50, size: 'all' },
  { task: 'boolq', chance: 50, size: 'all' },
];
export const keepList: readonly string[] = keptTasks.flatMap(({ task, size }) => (size === 'few' ? [task] : []));

const captionLanguages = ['English', 'French', 'German', 'Czech'] as const;

export interface Asked {
  readonly target: Target;
  /** Examples of each task. */
  readonly limit: number;
  readonly size: KeptSize;
  readonly tasks: readonly Task[];
  readonly articles: readonly string[];
  /** With `all`: image captions by language. */
  readonly captions: ReadonlyMap<string, readonly string[]>;
  /** One solved question in front of another, for each way to end it. */
  readonly questions: readonly { readonly asked: ReadonlyMap<string, string>; readonly answer: string }[];
  readonly sentences: readonly { readonly asked: string; readonly answer: string }[];
  /** Into which language the sentences go: `En-Fr`. */
  readonly pair: string;
  /** For a target in a language: tells it. */
  readonly language?: Language;
}

const seed = 1;
/** The ending of a question that nats are measured behind, and one that no target has. */
const [usualEnding, otherEnding] = ['Answer:', 'A:'];

/** The questions, from the data folder: the same for every model. */
export async function loadAsked(data: string, target: Target, limit: number, size: KeptSize): Promise<Asked> {
  const load = (name: string) => loadTask(name, { data });
  const wanted = keptTasks.filter((one) => size === 'all' || one.size === size);
  const tasks = await Promise.all(wanted.map(({ task }) => load(task)));
  const web = await load('web-questions');
  // A model that learns to translate into French is asked for German.
  const pair = target.form === 'French' ? 'En-De' : 'En-Fr';
  const news = await load(pair === 'En-Fr' ? 'real-newstest2014' : 'real-newstest2014-de');
  const xsum = await load('xsum');
  const draw = <T>(all: readonly T[], n: number): T[] => {
    const random = new RandomStream(seed, n);
    const left = [...all];
    return Array.from({ length: Math.min(n, left.length) }, () => left.splice(random.integer(left.length), 1)[0]!);
  };
  const captions = async (split: 'train' | 'test') => {
    const [french, german, czech] = await Promise.all(
      ['multi30k-en-fr', 'multi30k-en-de', 'multi30k-en-cs'].map(async (name) => (await load(name)).load(split)),
    );
    const targetsOf = (examples: typeof french) => examples!.map((example) => example.target);
    const english = french!.map(({ record }) => String(record.source));
    return [english, targetsOf(french), targetsOf(german), targetsOf(czech)] as const;
  };
  const [shown] = await web.load('train');
  const [translated] = await news.load('validation');
  const question = ({ record }: { record: Readonly<Record<string, unknown>> }) => String(record.question);
  const held = size === 'all' ? await captions('test') : [];
  const taught = target.form === 'French' ? await captions('train') : undefined;
  const some = (texts: readonly string[]) => texts.slice(0, 2000);
  return {
    target,
    limit,
    size,
    tasks,
    articles: draw(await xsum.load('test'), Math.ceil(limit / 8)).map(({ record }) =>
      String(record.document).slice(0, 1000),
    ),
    captions: new Map(held.map((texts, i) => [captionLanguages[i]!, draw(texts, Math.ceil(limit / 4))] as const)),
    questions: draw(await web.load('test'), Math.ceil(limit / 2)).map((example) => {
      const ask = (end: string) =>
        `Question: ${question(shown!)}\n${end} ${shown!.target}\n\nQuestion: ${question(example)}\n${end}`;
      const endings = [usualEnding, target.ending, otherEnding];
      return { asked: new Map(endings.map((end) => [end, ask(end)] as const)), answer: example.target };
    }),
    sentences: draw(await news.load('test'), Math.ceil(limit / 4)).map(({ input, target: answer }) => ({
      asked: `${translated!.input} ${translated!.target}\n\n${input}`,
      answer,
    })),
    pair,
    ...(taught && {
      language: Language.learn('French', some(taught[1]), [some(taught[0]), some(taught[2]), some(taught[3])]),
    }),
  };
}

interface KeptOptions {
  /** The model before training, to measure the distance from. */
  readonly base?: LoadedModel;
  /** The soft prompt [P, E]; only the distance is measured behind it. */
  readonly prompt?: Tensor;
  /** Who hears of the answers to a task. */
  readonly onTask?: (name: string) => { readonly onEvent: Observer };
}

/** Asks a model everything. */
export async function measureKept(
  loaded: LoadedModel,
  asked: Asked,
  { base, prompt, onTask }: KeptOptions = {},
): Promise<KeptMeasures> {
  const { model, tokenizer } = loaded;
  const ids = (text: string) => tokenizer.encode(text, { specialTokens: false });
  const start = tokenizer.beginningOfSequence === undefined ? [] : [tokenizer.beginningOfSequence];
  const nats = async (pairs: readonly { asked: string; answer: string }[]): Promise<Measured> => {
    const found = await score(
      model,
      pairs.map((one): TokenizedExample => ({ input: [...start, ...ids(one.asked)], target: ids(` ${one.answer}`) })),
    );
    const tokens = found.reduce((sum, one) => sum + one.tokens, 0);
    return {
      value: found.reduce((sum, one) => sum + one.loss * one.tokens, 0) / tokens,
      examples: found.map(({ loss }) => loss),
    };
  };
  const kept = new Map<string, Measured>();
  for (const task of asked.tasks) {
    const { score: value, samples } = await evaluateLoaded(loaded, task, {
      limit: asked.limit,
      ...onTask?.(task.name),
    });
    kept.set(task.name, { value, examples: samples.map((one) => one.score) });
  }
  const { articles, captions, questions, sentences, target, pair } = asked;
  const text = await evaluateText(loaded, articles, base && { base });
  kept.set('bits a byte', bitsOf(text));
  for (const [language, texts] of captions)
    kept.set(`bits a byte, ${language} captions`, bitsOf(await evaluateText(loaded, texts)));
  kept.set(
    'nats, questions',
    await nats(questions.map((one) => ({ asked: one.asked.get(usualEnding)!, answer: one.answer }))),
  );
  kept.set(`nats, ${pair}`, await nats(sentences));
  const isForm = formTest(loaded, asked);
  const share = async (texts: readonly string[]): Promise<Measured> => {
    const found = await isForm(texts.map((one) => [...start, ...ids(one)]));
    const examples = found.map((is) => (is ? 100 : 0));
    return { value: examples.reduce((sum: number, one) => sum + one, 0) / examples.length, examples };
  };
  for (const end of [target.ending, otherEnding])
    kept.set(`form, questions ending in "${end}"`, await share(questions.map((one) => one.asked.get(end)!)));
  kept.set(`form, ${pair}`, await share(sentences.map((one) => one.asked)));
  if (base) {
    kept.set('KL, prompt off', distanceOf(text));
    if (prompt) kept.set('KL, prompt on', distanceOf(await evaluateText(loaded, articles, { base, prompt })));
  }
  return kept;
}

/** How far a model is behind its prompt from the model that it was: all that training a prompt alone changes. */
export async function measureDistance(
  loaded: LoadedModel,
  asked: Asked,
  base: LoadedModel,
  prompt: Tensor,
): Promise<KeptMeasures> {
  return new Map([['KL, prompt on', distanceOf(await evaluateText(loaded, asked.articles, { base, prompt }))]]);
}

type Text = Awaited<ReturnType<typeof evaluateText>>;

function bitsOf({ bitsPerByte, perDocument }: Text): Measured {
  return { value: bitsPerByte, examples: perDocument.map(({ nats, bytes }) => nats / bytes / Math.LN2) };
}

function distanceOf({ divergence, perDocument }: Text): Measured {
  return { value: divergence!, examples: perDocument.map((one) => one.divergence! / one.tokens) };
}

/** Enough to tell a language, or the beginning of a JSON object, by. */
const formTokens = { French: 16, json: 2 } as const;

/** Whether each answer is in the target's form. Labels: its first token is one that a label begins with. */
function formTest({ model, tokenizer }: LoadedModel, { target, language }: Asked) {
  const say = (inputs: readonly (readonly number[])[], maxNewTokens: number) =>
    generate(model, inputs, { beams: 1, maxNewTokens });
  const { form, task } = target;
  return async (inputs: readonly (readonly number[])[]): Promise<boolean[]> => {
    if (form === 'labels') {
      const ids = (text: string) => tokenizer.encode(text, { specialTokens: false });
      const words = new Set(task.labels!.flatMap((word) => [ids(` ${word}`)[0]!, ids(word)[0]!]));
      return (await say(inputs, 1)).map(({ ids: [first] }) => words.has(first!));
    }
    const lines = (await say(inputs, formTokens[form])).map(
      (one) => tokenizer.decode(one.ids).trimStart().split('\n')[0]!,
    );
    return lines.map((line) => (form === 'json' ? line.startsWith('{') : language!.has(line)));
  };
}
