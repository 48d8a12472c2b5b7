// Data sets by their hub names: which files of a repository make a split.

import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { UserError } from '../base/errors.js';
import { isJsonObject } from '../base/json.js';
import type { HubOptions } from '../hub/settings.js';
import { hubSnapshot } from '../hub/snapshot.js';
import { type ClassNames, classNamesOfFeatures } from './class-names.js';
import { isRecordFile, recordEnding, recordFileEndings } from './records.js';
import { splits as allSplits, missingSplit, type RecordSource, readTable, type Split } from './source.js';

/** A data set on the hub. */
export interface HubDataset {
  /** `owner/name`. */
  readonly name: string;
  /** The configuration (subset), for data sets that have several: `rte`. */
  readonly config?: string;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string;
  /** What the data set calls its splits, where that is not train, validation (valid, val, dev) and test. */
  readonly splitNames?: Readonly<Partial<Record<Split, string>>>;
  /** Splits to use; by default all three. Splits without public answers are left out. */
  readonly splits?: readonly Split[];
  /** Downloads at most so many files of a split, evenly spaced; for splits too large to download for a training run. */
  readonly maxFiles?: number;
  /** Reads at most this many rows of a split, evenly from its files; for splits too large for memory. */
  readonly maxRows?: number;
}

/** How files name the splits. Samples of them (`sampled_test`) are none. */
const usualNames: Readonly<Record<Split, string>> = {
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
  {
    config,
    splitNames,
    maxFiles = Number.POSITIVE_INFINITY,
  }: Pick<HubDataset, 'config' | 'splitNames' | 'maxFiles'> = {},
): string[] {
  const folders = config === undefined ? ['default/', 'data/', ''] : [`${config}/`, `data/${config}/`];
  const own = splitNames?.[split]?.replace(/[^\w-]/gu, '\\$&');
  const named = new RegExp(`(?:^|[^a-z])(?<!sampled[_-])(?:${own ?? usualNames[split]})(?:[^a-z]|$)`, 'iu');
  for (const folder of folders) {
    for (const ending of recordFileEndings.toReversed()) {
      const files = paths.filter((path) => {
        if (!path.startsWith(folder) || recordEnding(path) !== ending) return false;
        const rest = path.slice(folder.length);
        return named.test(rest.slice(0, rest.lastIndexOf(ending))) && (folder !== '' || !rest.includes('/'));
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
      const { name, revision } = dataset;
      const repository = { type: 'dataset', name, revision, fallback: convertedBranch } as const;
      const wanted = (paths: readonly string[]): string[] => {
        const files = splitFiles(paths, split, dataset);
        // Only Parquet files name their classes themselves.
        const needsCard = files.length > 0 && !files.every((file) => file.endsWith('.parquet'));
        return needsCard && paths.includes(card) ? [...files, card] : files;
      };
      const { folder, files } = await hubSnapshot(repository, wanted, options);
      const data = files.filter(isRecordFile);
      const table = await readTable(
        data.map((file) => join(folder, file)),
        {
          limit: dataset.maxRows === undefined ? undefined : Math.ceil(dataset.maxRows / data.length),
          name: (file) => `${name} ${relative(folder, file)}`,
        },
      );
      return files.includes(card)
        ? { ...table, classNames: await cardClassNames(join(folder, card), dataset.config) }
        : table;
    },
  };
}

/** The page that describes a data set. */
const card = 'README.md';

/** The class names in the YAML in front of a data set's card. */
async function cardClassNames(file: string, config: string | undefined): Promise<ClassNames> {
  const front = /^---\r?\n(.*?)\r?\n---/su.exec(await readFile(file, 'utf8'))?.[1] ?? '';
  const { parseDocument } = await import('yaml');
  const document = parseDocument(front);
  if (document.errors.length > 0) return new Map();
  const info = (document.toJS({ maxAliasCount: 0 }) as { dataset_info?: unknown } | null)?.dataset_info;
  const infos = [info].flat().filter(isJsonObject);
  const own = infos.find((one) => one.config_name === (config ?? 'default')) ?? infos[0];
  return classNamesOfFeatures(own?.features);
}
