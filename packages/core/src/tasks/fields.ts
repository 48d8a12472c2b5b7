// Reading the fields of a record with errors that a person can act on; the caller adds file and line.

import { UserError } from '../base/errors.js';
import { ExactNumber } from '../data/exact-number.js';
import type { DataRecord } from '../data/records.js';

function required(record: DataRecord, key: string): unknown {
  const value = record[key];
  if (value === undefined || value === null) {
    throw new UserError(`no field "${key}"; the record has ${Object.keys(record).join(', ') || 'no fields'}`);
  }
  return value;
}

/** A text field. */
export function text(record: DataRecord, key: string): string {
  const value = required(record, key);
  if (typeof value !== 'string') throw new UserError(`field "${key}" should be text, not ${JSON.stringify(value)}`);
  return value;
}

/** A field that holds a list of texts. */
export function texts(record: DataRecord, key: string): readonly string[] {
  const value = required(record, key);
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
    throw new UserError(`field "${key}" should be a list of texts, not ${JSON.stringify(value)}`);
  }
  return value as string[];
}

/** A field that holds an object. */
export function object(record: DataRecord, key: string): DataRecord {
  const value = required(record, key);
  if (typeof value !== 'object' || Array.isArray(value)) throw new UserError(`field "${key}" should be an object`);
  return value as DataRecord;
}

/**
 * The answer that a label field stands for. `classes` maps the data set's class names to answers, in the order of the
 * hub's class numbers; a label may be a number, a class name, true or false, or the answer itself.
 */
export function answerOf(record: DataRecord, key: string, classes: Readonly<Record<string, string>>): string {
  const given = required(record, key);
  const value = given instanceof ExactNumber ? Number(given) : given;
  const answers = Object.values(classes);
  const name = String(value);
  const byName = Object.hasOwn(classes, name) ? classes[name] : answers.find((candidate) => candidate === value);
  const answer = typeof value === 'number' ? answers[value] : byName;
  if (answer === undefined) throw new UserError(`label ${JSON.stringify(value)} is not one of ${answers.join(', ')}`);
  return answer;
}
