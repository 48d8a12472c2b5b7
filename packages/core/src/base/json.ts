// JSON values and files, with errors that name the file.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from './errors.js';

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A JSON object. */
export type JsonObject = { [key: string]: Json };

/** True for a JSON object, false for arrays, null and all else. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object in `folder/name`; undefined where the file does not exist. Throws a UserError for anything but an object. */
export function readJsonObject(folder: string, name: string): JsonObject | undefined {
  const path = join(folder, name);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new UserError(`${path} cannot be read: ${(error as Error).message}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path} is not JSON: ${(error as Error).message}`);
  }
  if (!isJsonObject(value)) throw new UserError(`${path} must hold a JSON object.`);
  return value;
}
