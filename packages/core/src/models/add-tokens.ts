// New tokens for a model and its tokenizer: rows of the embedding (and of an output layer of its own) that start at the
// mean of their neighbours'.
import { cat, noGrad, op, scope, type Tensor, withDevice } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { isTied } from './head.js';
import { buildModel, type LoadedModel, loadedModel } from './load.js';
import type { LanguageModel } from './model.js';
import { idTensor } from './padding.js';
import { CheckpointWeights } from './weights.js';

/** What became of a new token. */
export interface AddedToken {
  readonly token: string;
  readonly id: number;
  /** How many tokens beside it its row is the mean of; 0: it stands in no text, and its row is the mean of all. */
  readonly neighbours: number;
}

/** Of so many neighbours more make no difference to a mean. */
const mostNeighbours = 10_000;

/**
 * A model that has `tokens`, too. The row of each is the mean of the rows of the tokens that stand directly in front of
 * it and behind it in `texts`, as often as they do. Rows that a model has beyond its tokenizer's (T5 has 28) are used
 * before the tables grow. `loaded` is used up: it must not be used or disposed any more.
 *
 * Throws UserError, and leaves `loaded` as it was, for a tokenizer that can have no more tokens and for tokens that are
 * there already.
 *
 * @example const { loaded: grown } = addTokens(loaded, ['{', '}', '\n'], ['{"team": "sales"}']);
 */
export function addTokens(
  loaded: LoadedModel,
  tokens: readonly string[],
  texts: Iterable<string>,
): { readonly loaded: LoadedModel; readonly added: readonly AddedToken[] } {
  const { model, kept } = loaded;
  if (!loaded.tokenizer.extended) throw new UserError('addTokens: this tokenizer can write every text as it is');
  const first = loaded.tokenizer.vocabularySize;
  const tokenizer = loaded.tokenizer.extended(tokens);
  const beside = neighboursOf(tokenizer, first, texts);
  const rows = Math.max(model.embedding.size(0), tokenizer.vocabularySize);
  const grown = rows > model.embedding.size(0) ? withRows(model, rows) : model;
  const { device } = grown.embedding;
  const fill = () => {
    for (const table of isTied(grown) ? [grown.embedding] : [grown.embedding, grown.head.weight])
      for (const [i] of tokens.entries()) {
        const row = meanOf(table, beside.get(first + i) ?? [], first);
        table.narrow(0, first + i, 1).copy_(row.unsqueeze(0));
      }
  };
  withDevice(device, () => noGrad(() => scope(fill)));
  return {
    loaded: loadedModel(grown, tokenizer, kept),
    added: tokens.map((token, i) => ({ token, id: first + i, neighbours: beside.get(first + i)?.length ?? 0 })),
  };
}

/** The ids below `first` that stand beside each new one, end of sequence left out. */
function neighboursOf(tokenizer: Tokenizer, first: number, texts: Iterable<string>): Map<number, number[]> {
  const beside = new Map<number, number[]>();
  for (const text of texts) {
    const ids = tokenizer.encode(text, { specialTokens: false });
    for (const [i, id] of ids.entries()) {
      if (id < first) continue;
      const own = beside.get(id) ?? [];
      beside.set(id, own);
      for (const other of [ids[i - 1], ids[i + 1]])
        if (other !== undefined && other < first && own.length < mostNeighbours) own.push(other);
    }
  }
  return beside;
}

/** The mean [E] of rows of a table [V, E]; of the first `known` rows where no ids are given. */
function meanOf(table: Tensor, ids: readonly number[], known: number): Tensor {
  const rows = ids.length === 0 ? table.narrow(0, 0, known) : op('aten::index_select', table, 0, idTensor(ids));
  return rows.to('float32').mean(0).to(table.dtype);
}

/** The same model with more rows, which are 0. Its parameters take the place of the old one's, which are freed. */
function withRows(model: LanguageModel, rows: number): LanguageModel {
  const before = model.embedding.size(0);
  const tables = new Set([model.embedding, model.head.weight]);
  const tensors = new Map(
    [...model.parameters].map(([name, parameter]) => {
      const grows = tables.has(parameter);
      const shape = grows ? [rows, ...parameter.shape.slice(1)] : parameter.shape;
      const padding = () =>
        parameter
          .narrow(0, 0, 1)
          .mul(0)
          .expand(rows - before, parameter.size(1));
      return [name, { shape, load: () => (grows ? cat([parameter, padding()]) : parameter) }] as const;
    }),
  );
  const config = withVocabulary(model.config(), before, rows) as Record<string, unknown>;
  const place = 'the model with more tokens';
  const { device, dtype } = model.embedding;
  const grown = withDevice(device, () => buildModel(config, new CheckpointWeights(place, tensors, dtype), place));
  for (const parameter of model.parameters.values()) parameter.dispose();
  return grown;
}

/** A configuration whose vocabulary, wherever it stands, has other rows. */
function withVocabulary(config: unknown, before: number, rows: number): unknown {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) return config;
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => [
      key,
      key === 'vocab_size' && value === before ? rows : withVocabulary(value, before, rows),
    ]),
  );
}
