// Data sets and models by their hub names: which files of a repository make a split, or a model.

import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { type HubOptions, hubSnapshot } from '../hub/snapshot.js';
import { type DataRecord, readRecords, recordFileEndings, recordLocation } from './records.js';
import { splits as allSplits, missingSplit, type RecordSource, type Split } from './source.js';

/** A data set on the hub. */
export interface HubDataset {
  /** `owner/name`. */
  readonly name: string;
  /** The configuration (subset), for data sets that have several: `rte`. */
  readonly config?: string;
  /** Splits to use; by default all three. Splits without public answers are left out. */
  readonly splits?: readonly Split[];
  /** Downloads at most so many files of a split, evenly spaced; for splits too large to download for a training run. */
  readonly maxFiles?: number;
  /** Reads at most so many rows of a split, evenly from its files; for splits too large for memory. */
  readonly maxRows?: number;
}

/** How files name the splits. Samples of them (`sampled_test`) are none. */
const splitNames: Readonly<Record<Split, string>> = {
  train: 'train',
  validation: 'validation|valid|val|dev',
  test: 'test',
};

/**
 * The branch on which the hub keeps every data set converted to Parquet (`config/split/0000.parquet`), for those that
 * hold something else on their main branch.
 */
const convertedBranch = 'refs/convert/parquet';

/**
 * The data files of a split among the paths of a repository: those below a folder of the configuration's name (without
 * one, in the root or below `data`) with the split's name in what follows: `rte/train-00000-of-00001.parquet`,
 * `main/test.jsonl`, `data/validation-00000-of-00001.parquet`, `en/train/0000.parquet`. Parquet is preferred.
 * At most `maxFiles` of them are taken, evenly spaced.
 * Errors: a UserError where a file of a numbered set (`-of-00003`) is absent.
 */
export function splitFiles(
  paths: readonly string[],
  split: Split,
  { config, maxFiles = Number.POSITIVE_INFINITY }: Pick<HubDataset, 'config' | 'maxFiles'> = {},
): string[] {
  const folders = config === undefined ? ['default/', 'data/', ''] : [`${config}/`, `data/${config}/`];
  const named = new RegExp(`(?:^|[^a-z])(?<!sampled[_-])(?:${splitNames[split]})(?:[^a-z]|$)`, 'iu');
  for (const folder of folders) {
    for (const ending of recordFileEndings.toReversed()) {
      const files = paths.filter((path) => {
        const rest = path.startsWith(folder) && path.endsWith(ending) ? path.slice(folder.length) : '';
        return named.test(rest.slice(0, -ending.length)) && (folder !== '' || !rest.includes('/'));
      });
      if (files.length > 0) return evenSample(files.sort(), maxFiles);
    }
  }
  return [];
}

/** At most `count` files, evenly spaced over a set that is numbered `-00003-of-00030` (offline some may be absent). */
function evenSample(files: readonly string[], count: number): string[] {
  const numbered = files.map((file) => /-(\d+)-of-(\d+)/u.exec(file));
  const total = Math.max(files.length, ...numbered.map((match) => Number(match?.[2] ?? 0)));
  const size = Math.min(total, count);
  const picked = new Set(Array.from({ length: size }, (_, i) => Math.floor((i * total) / size)));
  const sample = files.filter((_, position) => picked.has(Number(numbered[position]?.[1] ?? position)));
  if (sample.length < size) throw new UserError(`only ${sample.length} of the ${size} files ${files[0]} ... are there`);
  return sample;
}

/** The records of a data set on the hub; each split is downloaded when it is first read. */
export function hubSource(dataset: HubDataset, options: HubOptions = {}): RecordSource {
  const description = `${dataset.name}${dataset.config === undefined ? '' : `/${dataset.config}`} on the hub`;
  const present = dataset.splits ?? allSplits;
  return {
    description,
    splits: present,
    read: async (split) => {
      if (!present.includes(split)) throw missingSplit(description, split, present);
      const repository = { type: 'dataset', name: dataset.name, fallback: convertedBranch } as const;
      const { folder, files } = await hubSnapshot(repository, (paths) => splitFiles(paths, split, dataset), options);
      const limit = dataset.maxRows === undefined ? undefined : Math.ceil(dataset.maxRows / files.length);
      const records: DataRecord[] = [];
      const starts: number[] = [];
      for (const file of files) {
        starts.push(records.length);
        for (const record of await readRecords(join(folder, file), limit)) records.push(record);
      }
      const location = (index: number): string => {
        const which = starts.findLastIndex((start) => start <= index);
        return `${dataset.name} ${recordLocation(files[which]!, index - starts[which]!)}`;
      };
      return { records, location };
    },
  };
}

/**
 * Brings a model from the hub into the cache and gives its folder: configuration, tokenizer, licence, and the weights, as
 * safetensors where the repository has them, else as PyTorch's files; weights of other frameworks are left out.
 * Errors: those of `hubSnapshot`; a UserError where the repository holds no such weights.
 */
export async function hubModel(name: string, options: HubOptions = {}): Promise<string> {
  const wanted = (paths: readonly string[]): string[] => {
    const weights = [
      /^model(?:-\d+-of-\d+)?\.safetensors(?:\.index\.json)?$/u,
      /^pytorch_model(?:-\d+-of-\d+)?\.bin(?:\.index\.json)?$/u,
    ]
      .map((pattern) => paths.filter((path) => pattern.test(path)))
      .find((files) => files.length > 0);
    if (weights === undefined) return [];
    const rest =
      /^(?:config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^(?:spiece|tokenizer|sentencepiece\.bpe)\.model$|^merges\.txt$/u;
    // What stays as it is when the model is saved again: chat templates, licence, and the card that names it.
    const kept =
      /^(?:chat_template\.(?:jinja|json)|additional_chat_templates\/[\w.-]+\.jinja|README\.md|(?:LICEN[CS]E|NOTICE|USE_POLICY|COPYING)[\w.-]*)$/iu;
    return [...weights, ...paths.filter((path) => rest.test(path) || kept.test(path))];
  };
  return (await hubSnapshot({ type: 'model', name }, wanted, options)).folder;
}
