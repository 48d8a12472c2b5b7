// Templates of user tasks: text with `{field}` places (`{answers.text[0]}` for what is inside of one); `{{` and `}}`
// stand for braces.

import { UserError } from '../base/errors.js';
import type { ClassNames } from '../data/class-names.js';
import { ExactNumber } from '../data/exact-number.js';
import { type DataRecord, isRecord } from '../data/record.js';

/** A parsed template. */
interface Template {
  /** The paths of its fields, as written: `answers.text[0]`. */
  readonly fields: readonly string[];
  /** The one field of a template that is nothing but `{field}`. */
  readonly soleField?: string;
  /**
   * The text for a record; the class numbers of columns that have names become these. Errors: a UserError for a missing
   * field, for a value that is not a text, a number, true or false, and for NaN.
   */
  render(record: DataRecord, names?: ClassNames): string;
}

/** Parses a template. Errors: a UserError for an unmatched brace, an empty `{}` or a malformed path. */
export function parseTemplate(template: string): Template {
  const parts = template.split(/(\{\{|\}\}|\{[^{}]*\})/u).map((part, index): string | Field => {
    if (index % 2 === 0) {
      if (/[{}]/u.test(part))
        throw new UserError(`unmatched brace in "${template}" (a plain brace is written {{ or }})`);
      return part;
    }
    if (part === '{{' || part === '}}') return part[0]!;
    const field = part.slice(1, -1).trim();
    if (field === '') throw new UserError(`a {} without a field name in "${template}"`);
    return parseField(field);
  });
  const places = parts.filter((part) => typeof part !== 'string');
  if (places.length === 0 && /\{\{\s*\w+\s*\}\}/u.test(template)) {
    throw new UserError(`"${template}" names no field: a field is written {name}, with single braces`);
  }
  return {
    fields: places.map(({ path }) => path),
    soleField:
      places.length === 1 && parts.every((part) => part === '' || part === places[0]) ? places[0]!.path : undefined,
    render: (record, names) =>
      parts.map((part) => (typeof part === 'string' ? part : textOf(record, part, names))).join(''),
  };
}

interface Field {
  /** As written. */
  readonly path: string;
  /** `answers`, `text`, 0 of `answers.text[0]`. */
  readonly steps: readonly (string | number)[];
}

function parseField(path: string): Field {
  const found = path.split('.').flatMap((part) => {
    const match = /^([^[\]]+)((?:\[\d+\])*)$/u.exec(part);
    if (!match) throw new UserError(`{${path}} is no field: write {name}, {name.inner} or {name[0]}`);
    return [match[1]!, ...(match[2]!.match(/\d+/gu) ?? []).map(Number)];
  });
  return { path, steps: found };
}

/**
 * The value of a field: of the column of that very name, where there is one, else what the steps lead to. Undefined
 * where they lead nowhere.
 */
export function fieldValue(record: DataRecord, path: string): unknown {
  if (Object.hasOwn(record, path)) return record[path];
  let value: unknown = record;
  for (const step of parseField(path).steps) {
    const there = typeof step === 'number' ? Array.isArray(value) : isRecord(value) && Object.hasOwn(value, step);
    if (!there) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

function textOf(record: DataRecord, { path }: Field, names?: ClassNames): string {
  const value = fieldValue(record, path);
  if (value === undefined) {
    throw new UserError(
      `no field "${path}", which the template names; the record has ${Object.keys(record).join(', ')}`,
    );
  }
  return scalarText(value, path, names);
}

/** The text of a value, the name of a class number included. `path` is the field's, for names and messages. */
export function scalarText(value: unknown, path: string, names?: ClassNames): string {
  if (typeof value === 'number' || value instanceof ExactNumber) {
    if (!Number.isFinite(Number(value)))
      throw new UserError(`field "${path}" holds ${value}, which is no finite number; leave the row out or correct it`);
  } else if (typeof value !== 'string' && typeof value !== 'boolean') {
    const shown = JSON.stringify(value) ?? String(value);
    throw new UserError(
      `field "${path}" should be text, a number, true or false, not ` +
        `${shown.length > 60 ? `${shown.slice(0, 60)} ...` : shown}`,
    );
  }
  const text = String(value);
  const classes = names?.get(path.replaceAll(/\[\d+\]/gu, ''));
  if (classes === undefined || classes.includes(text)) return text;
  const name = /^\d+(?:\.0)?$/u.test(text) ? classes[Number(text)] : undefined;
  if (name === undefined)
    throw new UserError(`field "${path}" is class ${text}, which has no name; the names are ${classes.join(', ')}`);
  return name;
}

/**
 * The first of these fields that holds the class number -1, which stands for no label in the hub's data sets. Undefined
 * where none does.
 */
export function unlabelledField(record: DataRecord, fields: readonly string[], names?: ClassNames): string | undefined {
  return fields.find(
    (field) => names?.has(field.replaceAll(/\[\d+\]/gu, '')) && Number(fieldValue(record, field)) === -1,
  );
}
