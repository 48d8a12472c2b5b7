// Templates of user tasks: text with `{field}` places; `{{` and `}}` stand for braces.

import { UserError } from '../base/errors.js';
import type { DataRecord } from '../data/records.js';

/** A parsed template. */
export interface Template {
  /** The one field of a template that is nothing but `{field}`. */
  readonly soleField?: string;
  /** The text for a record. Errors: a UserError for a missing field or one that is no text, number, true or false. */
  render(record: DataRecord): string;
}

/** Parses a template. Errors: a UserError for an unmatched brace or an empty `{}`. */
export function parseTemplate(template: string): Template {
  const parts = template.split(/(\{\{|\}\}|\{[^{}]*\})/u).map((part, index): string | { field: string } => {
    if (index % 2 === 0) {
      if (/[{}]/u.test(part))
        throw new UserError(`unmatched brace in "${template}" (a plain brace is written {{ or }})`);
      return part;
    }
    if (part === '{{' || part === '}}') return part[0]!;
    const field = part.slice(1, -1).trim();
    if (field === '') throw new UserError(`a {} without a field name in "${template}"`);
    return { field };
  });
  const places = parts.filter((part) => typeof part !== 'string');
  if (places.length === 0 && /\{\{\s*\w+\s*\}\}/u.test(template)) {
    throw new UserError(`"${template}" names no field: a field is written {name}, with single braces`);
  }
  return {
    soleField:
      places.length === 1 && parts.every((part) => part === '' || part === places[0]) ? places[0]!.field : undefined,
    render: (record) => parts.map((part) => (typeof part === 'string' ? part : fieldText(record, part.field))).join(''),
  };
}

function fieldText(record: DataRecord, field: string): string {
  const value = Object.hasOwn(record, field) ? record[field] : undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value === undefined) {
    throw new UserError(
      `no field "${field}", which the template names; the record has ${Object.keys(record).join(', ')}`,
    );
  }
  throw new UserError(`field "${field}" should be text, a number, true or false, not ${JSON.stringify(value)}`);
}
