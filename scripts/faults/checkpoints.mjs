// Kills training runs and damages their checkpoints in between: each must come to the bytes of a run that nobody hurt.
import { copyFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { checkpointFiles, killRuns } from './lib/runs.mjs';

export function run(options) {
  return killRuns({ title: 'checkpoints', ...options, damage });
}

/** Damages one file of the checkpoints, or several. */
function damage(out, random) {
  const files = checkpointFiles(out);
  if (files.length === 0) return undefined;
  const draw = (list) => list[random.integer(list.length)];
  const done = [];
  for (let n = 1 + random.integer(2); n > 0; n--) {
    const path = draw(files);
    const kind = draw(Object.keys(kinds));
    try {
      kinds[kind](path, random, files);
    } catch (error) {
      // The one before may have deleted it.
      if (error.code !== 'ENOENT') throw error;
      continue;
    }
    done.push(`${kind} in ${basename(dirname(path))}/${basename(path)}`);
  }
  return done.join(', ');
}

const kinds = {
  'a flipped bit': (path, random) => {
    const bytes = readFileSync(path);
    if (bytes.length > 0) bytes[random.integer(bytes.length)] ^= 1 << random.integer(8);
    writeFileSync(path, bytes);
  },
  'a cut': (path, random) => truncateSync(path, random.integer(readFileSync(path).length + 1)),
  zeros: (path, random) => {
    const bytes = readFileSync(path);
    const from = random.integer(bytes.length + 1);
    writeFileSync(path, bytes.fill(0, from, Math.min(bytes.length, from + 4096)));
  },
  'no file': (path) => rmSync(path),
  'the file of another checkpoint': (path, random, files) => {
    const others = files.filter((other) => basename(other) === basename(path));
    const other = others[random.integer(others.length)];
    if (other !== path) copyFileSync(other, path);
  },
  NaN: (path) => {
    if (!path.endsWith('.safetensors') || statSync(path).size < 8) return;
    const bytes = readFileSync(path);
    bytes.fill(0xff, Math.min(bytes.length, 8 + Number(bytes.readBigUInt64LE())));
    writeFileSync(path, bytes);
  },
};
