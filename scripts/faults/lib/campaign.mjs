// A campaign over damaged files: each is written, read in a child process, judged, and put right again.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepFile, layOut } from './corpus.mjs';
import { LimitedProcess } from './limited.mjs';
import { timer } from './timer.mjs';

const script = fileURLToPath(new URL('read-child.mjs', import.meta.url));
/** Small files take milliseconds; libtorch takes 300 MB. */
const limits = { seconds: 30, megabytes: 1500, execArgv: ['--max-old-space-size=700'] };

/** What is wrong with a result; undefined where a person would be content. */
function faultOf({ outcome, name, message }, folder) {
  if (outcome === 'loaded') return undefined;
  if (outcome !== 'refused') return `${outcome}: ${name} ${message.split('\n')[0]}`;
  return lineFault(message, [folder]);
}

/** What is wrong with a message for people that must hold one of these places; undefined where nothing is. */
export function lineFault(message, places) {
  if (message.includes('\n')) return `a message of several lines: ${message}`;
  if (message.length > 2000) return `a message of ${message.length} characters: ${message.slice(0, 200)}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are looked for
  if (/[\u0000-\u0008\u000b-\u001f\u007f\u009b]/.test(message))
    return `control characters in the message: ${JSON.stringify(message)}`;
  if (!places.some((place) => message.includes(place))) return `the message does not say where: ${message}`;
  return undefined;
}

/**
 * Reads what `casesOf(entries)` yields, { entry, file, bytes, what }, until it or the time ends. Resolves to the number
 * of sorts of faults; each is printed, and its file kept in a folder that is named at the end.
 * @param options.reader what reads; for tests
 */
export async function campaign({ title, kind, reader = new LimitedProcess(script, limits), ...length }, casesOf) {
  const { place, entries } = layOut();
  const counts = { loaded: 0, refused: 0 };
  const faults = new Map();
  let done = 0;
  try {
    const able = [];
    for (const entry of entries) {
      if (kind !== undefined && entry.name !== kind) continue;
      const { outcome, message } = await reader.ask({ kind: entry.kind, folder: entry.folder });
      if (outcome !== 'loaded') throw new Error(`${entry.name} is not read undamaged: ${message}`);
      able.push(entry);
    }
    const isOver = timer(length);
    for (const { entry, file, bytes, what } of casesOf(able)) {
      if (isOver()) break;
      writeFileSync(join(entry.folder, file), bytes);
      const result = await reader.ask({ kind: entry.kind, folder: entry.folder });
      writeFileSync(join(entry.folder, file), entry.sound.get(file));
      done++;
      if (result.outcome in counts) counts[result.outcome]++;
      const fault = faultOf(result, entry.folder);
      if (fault === undefined) continue;
      // The same fault at another place of the same source is told once.
      const sort = `${entry.name}: ${fault.replace(/\d+/g, '#').slice(0, 120)}`;
      const seen = faults.get(sort);
      faults.set(sort, (seen ?? 0) + 1);
      if (seen) continue;
      console.log(`FAULT ${entry.name}/${file} (${what}): ${fault}\n  ${keepFile(place, done, entry, file, bytes)}`);
      if (result.stack) console.log(result.stack.split('\n').slice(1, 5).join('\n'));
    }
  } finally {
    await reader.stop();
  }
  const total = [...faults.values()].reduce((sum, count) => sum + count, 0);
  console.log(
    `${title}: ${done} files, ${counts.loaded} read, ${counts.refused} refused, ${total} faults of ` +
      `${faults.size} sorts`,
  );
  if (faults.size === 0) rmSync(place, { recursive: true });
  else console.log(`files of the faults: ${join(place, 'found')}`);
  return faults.size;
}
