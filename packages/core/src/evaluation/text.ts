// How well a decoder-only model predicts plain text (bits a byte), and how far it is from another one (KL divergence a
// token). Shapes: P prompt rows, E width, N predicted tokens of a window, V rows of the vocabulary.
import { noGrad, scope, type Tensor } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Observer } from '../base/events.js';
import { breathe } from '../generation/batches.js';
import { Division } from '../generation/division.js';
import { score } from '../generation/score.js';
import { bootstrapInterval, type Interval } from '../metrics/bootstrap.js';
import { resultOf } from '../metrics/metric.js';
import type { LoadedModel } from '../models/load.js';
import type { TokenizedExample } from '../models/model.js';
import { tellAnswers } from './evaluation.js';

export interface TextOptions {
  /** Soft prompt [P, E] in front of every window. */
  readonly prompt?: Tensor;
  /**
   * Most tokens that are predicted at once, each from those before it. Default 512, or what the model has positions
   * for.
   */
  readonly window?: number;
  /** In addition: how far the model (with its prompt) is from this one (without a prompt). */
  readonly base?: LoadedModel;
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
  /** Hears of each window (`evaluating`). */
  readonly onEvent?: Observer;
}

export interface TextResult {
  /** Negative log-likelihood of all documents over their bytes in UTF-8, base 2. Lower is better. */
  readonly bitsPerByte: number;
  /** 95 %, by bootstrap over the documents. */
  readonly interval: Interval;
  /** With `base`: KL(base || model), nats per token, mean over all tokens. */
  readonly divergence?: number;
  readonly divergenceInterval?: Interval;
  readonly documents: number;
  readonly bytes: number;
  readonly tokens: number;
  /** Equal signatures mean comparable figures. */
  readonly signature: string;
  /**
   * Of each document that is not empty, in their order: nats, bytes, tokens, and with `base` the divergence in nats.
   */
  readonly perDocument: readonly DocumentResult[];
}

export interface DocumentResult {
  readonly nats: number;
  readonly bytes: number;
  readonly tokens: number;
  /** KL(base || model), summed over its tokens. */
  readonly divergence?: number;
}

/**
 * Measures a model on documents. As in lm-evaluation-harness' `loglikelihood_rolling`, a document is predicted from its
 * first token on, behind the start token (for want of one, the end token), which is not predicted; one of more tokens
 * than a window is predicted window by window, each behind one token before it, the last one behind as many as fit.
 * Empty documents count for nothing. Ranks that work together divide the windows; `base` is then whole on each.
 *
 * Errors: a UserError for an encoder-decoder, for no text, for a `base` with other tokens.
 *
 * @example const { bitsPerByte } = await evaluateText(loaded, ['It rained all day.', 'Rivers rose.']);
 */
export async function evaluateText(
  loaded: LoadedModel,
  documents: readonly string[],
  options: TextOptions = {},
): Promise<TextResult> {
  const { prompt, base, batchSize, signal, onEvent } = options;
  const { model } = loaded;
  if (model.kind !== 'decoder-only')
    throw new UserError('bits a byte need a decoder-only model: an encoder-decoder does not predict plain text');
  const room = (model.shape.positions ?? Number.POSITIVE_INFINITY) - (prompt?.size(0) ?? 0);
  const window = options.window ?? Math.min(512, room);
  if (!Number.isInteger(window) || window < 1 || window > room)
    throw new UserError(`a window of ${window} tokens does not fit: it must be 1 to ${room}`);
  const texts = documents.filter((text) => text !== '');
  if (texts.length === 0) throw new UserError('no text to measure');
  const windows = texts.flatMap((text, document) =>
    textWindows(text, loaded, window).map((example) => ({ document, example })),
  );
  if (base) checkSameTokens(loaded, base, texts);

  const total = windows.length * (base ? 2 : 1);
  let done = 0;
  const tell = tellAnswers('text', onEvent);
  const onProgress = () => tell(++done, total);
  const bytes = texts.map((text) => Buffer.byteLength(text));
  const nats = texts.map(() => 0);
  const tokens = texts.map(() => 0);
  const examples = windows.map(({ example }) => example);
  const scored = await score(model, examples, { prompt, batchSize, signal, onProgress });
  for (const [i, { document }] of windows.entries()) {
    nats[document]! += scored[i]!.loss * scored[i]!.tokens;
    tokens[document]! += scored[i]!.tokens;
  }
  const signature = `bits-per-byte|window:${window}|version:1`;
  const bits = resultOf(
    texts.map((_, i) => [nats[i]!, bytes[i]!]),
    { aggregate: ([sum, length]) => sum! / length! / Math.LN2, signature },
  );
  const result = {
    bitsPerByte: bits.score,
    interval: bootstrapInterval(bits),
    documents: texts.length,
    bytes: bytes.reduce((sum, count) => sum + count, 0),
    tokens: tokens.reduce((sum, count) => sum + count, 0),
    signature,
    perDocument: texts.map((_, i) => ({ nats: nats[i]!, bytes: bytes[i]!, tokens: tokens[i]! })),
  };
  if (!base) return result;

  const divergences = texts.map(() => 0);
  const byWindow: number[] = [];
  const division = new Division<number>(model);
  const hear = (i: number, nats: number) => {
    byWindow[i] = nats;
    onProgress();
  };
  for (const [i, { example }] of windows.entries()) {
    if (!division.takesNext()) continue;
    await breathe(signal);
    const own = divergenceOf(base, loaded, example, prompt);
    division.add(i, own);
    hear(i, own);
  }
  await division.finish(hear);
  // In the windows' order, whoever read them.
  for (const [i, { document }] of windows.entries()) divergences[document]! += byWindow[i]!;
  const divergence = resultOf(
    texts.map((_, i) => [divergences[i]!, tokens[i]!]),
    { aggregate: ([sum, count]) => sum! / count!, signature: 'kl|nats per token' },
  );
  return {
    ...result,
    divergence: divergence.score,
    divergenceInterval: bootstrapInterval(divergence),
    perDocument: result.perDocument.map((one, i) => ({ ...one, divergence: divergences[i]! })),
  };
}

/** The windows of a document: each has a context that is only read, and predicts at most `window` tokens. */
function textWindows(text: string, { tokenizer }: LoadedModel, window: number): TokenizedExample[] {
  const start = tokenizer.beginningOfSequence ?? tokenizer.endOfSequence;
  const ids = [start, ...tokenizer.encode(text, { specialTokens: false })];
  const windows: TokenizedExample[] = [];
  for (let from = 1; from < ids.length; from += window) {
    const to = Math.min(from + window, ids.length);
    // The context of a short last window goes back as far as a window does.
    windows.push({ input: ids.slice(Math.max(0, to - window - 1), from), target: ids.slice(from, to) });
  }
  return windows;
}

function checkSameTokens(loaded: LoadedModel, base: LoadedModel, texts: readonly string[]): void {
  const same = texts.every((text) => {
    const [own, other] = [loaded, base].map(({ tokenizer }) => tokenizer.encode(text, { specialTokens: false }));
    return own!.length === other!.length && own!.every((id, i) => id === other![i]);
  });
  if (!same || loaded.model.shape.vocabularySize !== base.model.shape.vocabularySize)
    throw new UserError(
      'the two models have different tokens: the distance is of a model from the one it was made from',
    );
}

/** KL(base || model) in nats, summed over the predicted tokens of a window. */
function divergenceOf(base: LoadedModel, { model }: LoadedModel, example: TokenizedExample, prompt?: Tensor): number {
  return noGrad(() =>
    scope(() => {
      const before = base.model.logits([example]).float().logSoftmax(1); // [N, V]
      const after = model.logits([example], { prompt }).float().logSoftmax(1);
      const sum = before.exp().mul(before.sub(after)).sum();
      return sum.item();
    }),
  );
}
