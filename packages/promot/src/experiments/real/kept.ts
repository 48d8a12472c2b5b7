// What a model can do beside its target: multiple choice and last words by likelihood, running text, answers to other
// questions, and how often it answers in the target's form. Always asked without the soft prompt.
import './targets.js';
import { RandomStream } from '@promot/core/base';
import { evaluateTask, evaluateText } from '@promot/core/evaluation';
import { generate, score } from '@promot/core/generation';
import type { LoadedModel, TokenizedExample } from '@promot/core/models';
import { loadTask, type Task } from '@promot/core/tasks';

/** Percent right, bits a byte, nats a token, or percent of answers in the target's form. */
export type Kept = Readonly<Record<string, number>>;

/** Tasks of lm-evaluation-harness and what of their results is taken. */
const harness = ['arc-easy', 'piqa', 'lambada-openai'] as const;

export interface Asked {
  /** Examples of each task. */
  readonly limit: number;
  readonly tasks: readonly Task[];
  readonly articles: readonly string[];
  /** One solved question in front of another; the two ends are alike and unlike the target's. */
  readonly questions: readonly { readonly alike: string; readonly unlike: string; readonly answer: string }[];
  readonly sentences: readonly { readonly asked: string; readonly answer: string }[];
}

const seed = 1;

/** The questions, from the data folder: the same for every model. */
export async function loadAsked(data: string, limit: number): Promise<Asked> {
  const tasks = await Promise.all(harness.map((name) => loadTask(name, { data })));
  const web = await loadTask('web-questions', { data });
  const french = await loadTask('real-newstest2014', { data });
  const xsum = await loadTask('xsum', { data });
  const draw = <T>(all: readonly T[], n: number): T[] => {
    const random = new RandomStream(seed, n);
    const left = [...all];
    return Array.from({ length: Math.min(n, left.length) }, () => left.splice(random.integer(left.length), 1)[0]!);
  };
  const [shown] = await web.load('train');
  const [translated] = await french.load('validation');
  const question = ({ record }: { record: Readonly<Record<string, unknown>> }) => String(record.question);
  return {
    limit,
    tasks,
    articles: draw(await xsum.load('test'), Math.ceil(limit / 8)).map(({ record }) =>
      String(record.document).slice(0, 1000),
    ),
    questions: draw(await web.load('test'), Math.ceil(limit / 2)).map((example) => {
      const ask = (end: string) =>
        `Question: ${question(shown!)}\n${end} ${shown!.target}\n\nQuestion: ${question(example)}\n${end}`;
      return { alike: ask('Answer:'), unlike: ask('A:'), answer: example.target };
    }),
    sentences: draw(await french.load('test'), Math.ceil(limit / 4)).map(({ input, target }) => ({
      asked: `${translated!.input} ${translated!.target}\n\n${input}`,
      answer: target,
    })),
  };
}

/** Asks a model everything. `words`: the target's answers, whose share is the form's. */
export async function measureKept(loaded: LoadedModel, asked: Asked, words: readonly string[]): Promise<Kept> {
  const { model, tokenizer } = loaded;
  const ids = (text: string) => tokenizer.encode(text, { specialTokens: false });
  const start = tokenizer.beginningOfSequence === undefined ? [] : [tokenizer.beginningOfSequence];
  const pair = (context: string, next: string): TokenizedExample => ({
    input: [...start, ...ids(context)],
    target: ids(next),
  });
  const form = new Set(words.flatMap((word) => [ids(` ${word}`)[0]!, ids(word)[0]!]));
  const formShare = async (texts: readonly string[]) => {
    const inputs = texts.map((text) => [...start, ...ids(text)]);
    const said = await generate(model, inputs, { beams: 1, maxNewTokens: 1 });
    return (100 * said.filter(({ ids: [first] }) => form.has(first!)).length) / said.length;
  };
  const nats = async (pairs: readonly TokenizedExample[]) => {
    const found = await score(model, pairs);
    const tokens = found.reduce((sum, one) => sum + one.tokens, 0);
    return found.reduce((sum, one) => sum + one.loss * one.tokens, 0) / tokens;
  };
  const kept: Record<string, number> = {};
  for (const task of asked.tasks) {
    const { score: right } = await evaluateTask(loaded, task, { limit: asked.limit });
    kept[task.name] = right;
  }
  const { articles, questions, sentences } = asked;
  kept['bits a byte'] = (await evaluateText(loaded, articles)).bitsPerByte;
  kept['nats, questions'] = await nats(questions.map(({ alike, answer }) => pair(alike, ` ${answer}`)));
  kept['nats, En-Fr'] = await nats(sentences.map(({ asked: context, answer }) => pair(context, ` ${answer}`)));
  kept['form, questions ending in "Answer:"'] = await formShare(questions.map(({ alike }) => alike));
  kept['form, questions ending in "A:"'] = await formShare(questions.map(({ unlike }) => unlike));
  kept['form, En-Fr'] = await formShare(sentences.map(({ asked: context }) => context));
  return kept;
}
