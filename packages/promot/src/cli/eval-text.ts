// `promot eval --text`: how well a model predicts plain text, and how far it is from the model that it was made from.

import { alignedTable, UserError } from '@promot/core/base';
import { readDocuments } from '@promot/core/data';
import type { TextResult } from '@promot/core/evaluation';
import { untilInterrupted } from './interrupt.js';
import { answer, type Io, note } from './io.js';
import { observer } from './observe.js';
import { openForUse } from './open.js';
import type { CommonOptions } from './options.js';
import { Progress } from './progress.js';
import { readKnownSettings } from './settings.js';

interface TextOptions extends CommonOptions {
  readonly model: string;
  readonly prompt?: string;
  readonly text: readonly string[];
  readonly base?: string;
  readonly limit?: number;
}

export async function evalText(io: Io, { text, base, limit, ...options }: TextOptions): Promise<void> {
  const settings = readKnownSettings(options, ['precision', 'device', 'batchSize', 'window'] as const);
  const files: string[][] = [];
  for (const file of text) files.push(await readDocuments(file, limit));
  const documents = files.flat();
  if (documents.every((document) => document === '')) throw new UserError(`${text.join(', ')}: no text to measure`);
  const progress = new Progress(io);
  using loaded = await openForUse(options.model, options.prompt, settings, progress);
  using before = base === undefined ? undefined : await openForUse(base, undefined, settings, progress);
  const { evaluateText } = await import('@promot/core/evaluation');
  const { result, exitCode } = await untilInterrupted(progress, 'Finishing the batch', (signal) =>
    evaluateText(loaded, documents, {
      ...settings,
      prompt: loaded.prompt,
      base: before,
      signal,
      onEvent: observer(progress),
    }).catch((error) => {
      if (signal.aborted) return undefined;
      throw error;
    }),
  );
  if (result === undefined) {
    note(io, 'Stopped.');
    io.exitCode = exitCode;
    return;
  }
  // What each document has is for programs that use the library.
  const { perDocument: _, ...whole } = result;
  answer(io, options.json, whole, () => page(whole));
}

function page(result: Omit<TextResult, 'perDocument'>): string {
  const range = ({ low, high }: TextResult['interval']) => `(95 % interval ${low.toFixed(4)} to ${high.toFixed(4)})`;
  return alignedTable([
    ['text', `${result.documents} documents, ${result.bytes} bytes, ${result.tokens} tokens`],
    ['bits a byte', `${result.bitsPerByte.toFixed(4)}  ${range(result.interval)}`],
    ...(result.divergence === undefined
      ? []
      : [['from the base', `${result.divergence.toFixed(4)} nats a token  ${range(result.divergenceInterval!)}`]]),
    ['signature', result.signature],
  ]);
}
