// Files of a model's folder that stay as they are when its weights change, and the licence that they name.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { UserError, unreadable } from '../base/errors.js';
import { isJsonObject } from '../base/json.js';
import type { GgufMetadata } from '../formats/gguf.js';

/** What a model keeps of the place that it came from. */
export interface KeptFiles {
  /** By name; a name may lead into a folder of the model's. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** As its model card names it, such as `apache-2.0` or `gemma`. */
  readonly license?: string | undefined;
}

const KEPT = /^(generation_config\.json|chat_template\.(jinja|json)|(LICEN[CS]E|NOTICE|USE_POLICY|COPYING)[\w.-]*)$/i;
/** Where Transformers keeps more than one chat template. */
const TEMPLATES = 'additional_chat_templates';
/** None of these is large. */
const LARGEST = 16 * 2 ** 20;

/** The kept files of a Hugging Face folder. Throws UserError where one cannot be read or is absurdly large. */
export function readKeptFiles(folder: string): KeptFiles {
  const names = readdirSync(folder).filter((name) => KEPT.test(name));
  if (existsSync(join(folder, TEMPLATES)))
    for (const name of readdirSync(join(folder, TEMPLATES)))
      if (name.endsWith('.jinja')) names.push(`${TEMPLATES}/${name}`);
  const files = new Map(names.sort().map((name) => [name, readSmall(join(folder, name))] as const));
  return { files, license: licenseOf(join(folder, 'README.md')) };
}

/** What a GGUF file says of its licence. */
export function keptOf(metadata: GgufMetadata): KeptFiles {
  const license = metadata.get('general.license');
  return { files: new Map(), license: typeof license === 'string' ? license : undefined };
}

/** A file as it is. Throws UserError for one that cannot be read or is larger than such files are. */
function readSmall(path: string, largest = LARGEST): Uint8Array {
  try {
    const { size } = statSync(path);
    if (size > largest) throw new UserError(`${path}: ${size} bytes, and at most ${largest} are expected`);
    return readFileSync(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw unreadable(path, error);
  }
}

/** The `license` of a model card's front matter, where there is one. A card that is not understood names none. */
function licenseOf(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  const front = /^---\r?\n([\s\S]{0,100000}?)\r?\n---/.exec(Buffer.from(readSmall(path)).toString('utf8'))?.[1];
  if (front === undefined) return undefined;
  try {
    const content: unknown = parse(front, { maxAliasCount: 0 });
    const license = isJsonObject(content) ? content.license : undefined;
    return typeof license === 'string' ? license : undefined;
  } catch {
    return undefined;
  }
}
