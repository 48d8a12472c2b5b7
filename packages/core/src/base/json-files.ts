// JSON and JSON-lines files of other commands, checked.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from './errors.js';

/** A confidence interval, see `Interval`. */
export const interval = z.object({ low: z.number(), high: z.number() });

/** A JSON file that must be as `schema` says. Errors: a UserError with the path and the place in the file. */
export function readJsonObject<T>(path: string, schema: z.ZodType<T>): T {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new UserError(`${path}: not JSON: the file is damaged`);
  }
  return checked(content, schema, path);
}

/** The value as `schema` describes it. Errors: a UserError that begins with `where`. */
export function checked<T>(value: unknown, schema: z.ZodType<T>, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw new UserError(`${where}: ${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`);
}

/**
 * The lines of a JSON-lines file, each with its place for messages; none where the file is not there. A last line without its
 * line break is left out: a program that was killed, or is at work, has not finished it.
 * Errors: a UserError for a line that is not JSON.
 */
export function readJsonLines(path: string): { value: unknown; where: string }[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line, i) => {
    const where = `${path} line ${i + 1}`;
    try {
      return { value: JSON.parse(line) as unknown, where };
    } catch {
      throw new UserError(`${where}: not JSON`);
    }
  });
}
