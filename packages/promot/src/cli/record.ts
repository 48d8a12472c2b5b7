// A record that a person types.
import { UserError } from '@promot/core/base';
import { type DataRecord, parseJson } from '@promot/core/data';

/** The record of --record. Errors: a UserError for text that is not a JSON object. */
export function oneRecord(text: string): DataRecord {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new UserError(`--record: not JSON (${(error as Error).message}); write it as '{"text": "..."}'`, {
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UserError('--record: a JSON object is expected, such as \'{"text": "..."}\'');
  return value as DataRecord;
}
