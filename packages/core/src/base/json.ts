// JSON values and files, with errors that name the file and the place in it.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseBoundedJson } from '@promot/torch/files';
import type { z } from 'zod';
import { systemError, UserError, unreadable } from './errors.js';
import { refuseLfsPointer } from './git-lfs.js';

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A JSON object. */
export type JsonObject = { [key: string]: Json };

/** True for a JSON object, false for arrays, null and all else. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The object in `folder/name`; undefined where the file does not exist. Throws a UserError for anything but an object.
 */
export function readJsonObject(folder: string, name: string): JsonObject | undefined {
  const path = join(folder, name);
  if (!existsSync(path)) return undefined;
  const value = parseFile(path);
  if (!isJsonObject(value)) throw damaged(`${path} must hold a JSON object.`);
  return value;
}

/** A JSON file that must be as `schema` says. Errors: a UserError with the path and the place in the file. */
export function readJson<T>(path: string, schema: z.ZodType<T>): T {
  return checked(parseFile(path), schema, path);
}

/** The largest tokenizer.json that is known has 34 MB. */
const LARGEST = 2 ** 28;

function parseFile(path: string): unknown {
  let bytes: Buffer;
  try {
    const { size } = statSync(path);
    if (size > LARGEST) throw new UserError(`${path} has ${size} bytes: no JSON file of a model or a run is so large`);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw systemError(error) ?? unreadable(path, error);
  }
  try {
    return parseBoundedJson(bytes);
  } catch (error) {
    refuseLfsPointer(path);
    throw damaged(`${path} is not JSON: ${(error as Error).message}`, error);
  }
}

/** The value as `schema` describes it. Errors: a UserError that begins with `where`. */
export function checked<T>(value: unknown, schema: z.ZodType<T>, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw damaged(`${where}: ${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`);
}

function damaged(message: string, cause?: unknown): UserError {
  return new UserError(message, { code: 'damaged-file', cause });
}
