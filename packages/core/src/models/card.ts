// The model card (README.md) of a model that promot made: what it was made from, how, and under which licence.
import { existsSync } from 'node:fs';
import { stringify } from 'yaml';
import { markdownTable } from '../base/table.js';

/** What a model card says. */
export interface ModelCard {
  /** The model that this one was made from: a name on the hub, or a path. */
  readonly base: string;
  /** What was done, a sentence each. */
  readonly done: readonly string[];
  /** Scores, 0 to 100, with what they were measured on. */
  readonly scores?: readonly { readonly metric: string; readonly on: string; readonly score: number }[];
}

/** README.md with the front matter that the hub reads. Paths of this machine are left out of it. */
export function cardText({ base, done, scores = [] }: ModelCard, license: string | undefined): string {
  const isLocal = existsSync(base) || !/^[\w.-]+\/[\w.-]+$/.test(base);
  const name = isLocal ? (base.split(/[\\/]/).filter(Boolean).at(-1) ?? base) : base;
  const front = {
    ...(license !== undefined && { license }),
    ...(!isLocal && { base_model: base }),
    library_name: 'transformers',
    tags: ['promot'],
  };
  const lines = [
    '---',
    stringify(front).trimEnd(),
    '---',
    '',
    `# ${name}, changed with promot`,
    '',
    `This model was made from ${isLocal ? `a local copy of ${name}` : `[${name}](https://huggingface.co/${name})`}.`,
    '',
    ...done.map((sentence) => `- ${sentence}`),
  ];
  if (scores.length > 0) {
    const rows = scores.map(({ on, metric, score }) => [on, metric, score.toFixed(1)]);
    lines.push('', markdownTable(['measured on', 'metric', 'score'], rows));
  }
  const terms =
    license === undefined
      ? 'The licence of the base model is not known here. Look it up before you pass this model on.'
      : `The base model's licence is \`${license}\`. Its terms hold for this model, too.`;
  return `${[...lines, '', terms].join('\n')}\n`;
}
