// Names of class numbers, as the hub's metadata gives them.
import { isJsonObject } from '../base/json.js';

/** What the numbers 0, 1, ... of a column stand for, by the column's path as a template writes it: `label`, `tags`. */
export type ClassNames = ReadonlyMap<string, readonly string[]>;

/**
 * The class names in a feature description of the hub's `datasets` library: `{ label: { names: [...], _type:
 * 'ClassLabel' } }` in Parquet files, and below `dataset_info.features` in data set cards.
 */
export function classNamesOfFeatures(features: unknown): ClassNames {
  const found = new Map<string, readonly string[]>();
  const walk = (feature: unknown, path: string): void => {
    if (Array.isArray(feature)) {
      // A list of one feature; in a card, fields with their names.
      for (const one of feature)
        walk(one, isJsonObject(one) && typeof one.name === 'string' ? join(path, one.name) : path);
      return;
    }
    if (!isJsonObject(feature)) return;
    const names = namesOf(feature);
    if (names !== undefined) {
      found.set(path, names);
      return;
    }
    for (const [key, value] of Object.entries(feature)) {
      // Not a field: it describes the items of a list or a structure.
      const wraps = ['feature', 'sequence', 'list', 'struct', 'dtype'].includes(key) && typeof value === 'object';
      if (wraps) walk(value, path);
      else if (isJsonObject(value) || Array.isArray(value)) walk(value, join(path, key));
    }
  };
  walk(features, '');
  found.delete('');
  return found;
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

/** `{_type: ClassLabel, names: [...]}`, or a card's `{class_label: {names: {'0': ..., '1': ...}}}`. */
function namesOf(feature: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  const label =
    feature._type === 'ClassLabel' ? feature : isJsonObject(feature.class_label) ? feature.class_label : undefined;
  if (label === undefined) return undefined;
  const { names } = label;
  const list = isJsonObject(names) ? Object.keys(names).map((_, i) => names[i]) : names;
  return Array.isArray(list) && list.every((name) => typeof name === 'string') ? list : undefined;
}
