// Data files by name, by pattern (`data/*.jsonl`), or several of these.
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UserError } from '../base/errors.js';
import { endings, isRecordFile } from './records.js';

/**
 * The absolute paths of the files that `names` stands for, relative to `folder`: in the order of the list, those of a
 * pattern in the order of their names. Errors: a UserError for a name that is no file, a pattern that no file has, a
 * file of an unknown kind, one named twice.
 */
export async function findFiles(names: string | readonly string[], folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of [names].flat()) {
    const path = resolve(folder, name);
    const isFile = await stat(path).then(
      (info) => info.isFile(),
      () => false,
    );
    const isPattern = /[*?[\]{}]/u.test(name);
    if (!isFile && !isPattern) throw new UserError(`no such data file: ${path}`);
    const files = isFile ? [path] : await matching(name, folder);
    if (files.length === 0) throw new UserError(`no file is named like ${path}`);
    for (const file of files) {
      if (!isRecordFile(file)) {
        const advice = /\.(?:xlsx?|ods|numbers)$/iu.test(file) ? '. Save the sheet as CSV (UTF-8)' : '';
        throw new UserError(`${isFile ? name : file}: data files end in ${endings}${advice}`);
      }
      if (found.includes(file)) throw new UserError(`${file} is named twice`);
      found.push(file);
    }
  }
  return found;
}

/** The files that a pattern stands for, by name. The library is loaded where it is used: few names are patterns. */
async function matching(pattern: string, folder: string): Promise<string[]> {
  const { glob } = await import('tinyglobby');
  return (await glob(pattern, { cwd: folder, absolute: true, dot: false })).sort();
}
