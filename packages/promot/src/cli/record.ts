// A record that a person types, and whether a model is a run that was trained on its task.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '@promot/core/base';
import { type DataRecord, parseJson } from '@promot/core/data';
import { isTaskOfRun } from '@promot/core/open';

/** The record of --record. Errors: a UserError for text that is not a JSON object. */
export function oneRecord(text: string): DataRecord {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new UserError(`--record: not JSON (${(error as Error).message}); write it as '{"text": "..."}'`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UserError('--record: a JSON object is expected, such as \'{"text": "..."}\'');
  return value as DataRecord;
}

/** Whether a model is a run with a soft prompt for this very task. */
export async function hasPromptFor(model: string, task: string): Promise<boolean> {
  return existsSync(join(model, 'prompt')) && (await isTaskOfRun(model, task));
}
