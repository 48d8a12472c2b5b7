// What all files that promot leaves have in common: they say their format, and lines say their type.
import { statSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { checked, isJsonObject, readJson } from '../base/json.js';
import { readJsonLines } from '../base/json-lines.js';

/** Of the files that this version writes. Format 1, which said no number, is still read. */
export const format = 2;

/** The number of the format in a JSON file. */
export const formatKey = z.literal(format).describe('of this file');

/** The first line of a file of JSON lines. */
const header = z.strictObject({ type: z.literal('header'), format: formatKey });

export const headerLine = `${JSON.stringify({ type: 'header', format } satisfies z.infer<typeof header>)}\n`;

/** Whether a file is not there or holds nothing: its first line will be the header. */
export function isEmpty(path: string): boolean {
  return !statSync(path, { throwIfNoEntry: false })?.size;
}

/** A confidence interval, see `Interval`. */
export const interval = z.object({ low: z.number(), high: z.number() }).describe('95 % interval');

/**
 * A JSON file of this format or of format 1. Errors: a UserError for a file that is damaged, or of a later format.
 * @param old makes what `schema` describes of what is there in format 1.
 */
export function readArtifact<T>(path: string, schema: z.ZodType<T>, old: (content: object) => unknown): T {
  const content = readJson(path, z.looseObject({ format: z.unknown().optional() }));
  refuseLater(content.format, path);
  return checked(content.format === undefined ? old(content) : content, schema, path);
}

/**
 * The lines of a file of this format or of format 1, without its header; see `readJsonLines`. A line of another kind is
 * damaged, too. Errors as of `readArtifact`.
 */
export function readArtifactLines<T>(
  path: string,
  schema: z.ZodType<T>,
  old: (line: Record<string, unknown>, where: string) => unknown,
  onDamaged?: (where: string) => void,
): T[] {
  return readJsonLines(path, onDamaged).flatMap(({ value, where }, i) => {
    if (i === 0 && isJsonObject(value) && value.type === 'header') {
      refuseLater(value.format, path);
      return [];
    }
    try {
      const line = checked(value, z.looseObject({}), where);
      return [checked('type' in line ? line : old(line, where), schema, where)];
    } catch (error) {
      if (!onDamaged || !(error instanceof UserError)) throw error;
      onDamaged(where);
      return [];
    }
  });
}

function refuseLater(found: unknown, path: string): void {
  if (typeof found === 'number' && found > format)
    throw new UserError(`${path}: its format is ${found}, and this promot knows ${format}: take a newer promot`, {
      code: 'newer-format',
    });
}
