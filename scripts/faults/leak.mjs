// Works that repeat for long: a training of many steps, then whole runs, generation and damaged files again and again.
// The number of live tensors must stay, and the memory of the process must not grow.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runLimited } from './lib/limited.mjs';
import { kinds, makeTasks, requestOf } from './lib/runs.mjs';

const child = fileURLToPath(new URL('lib/leak-child.mjs', import.meta.url));
/**
 * Megabytes by which the last turn of a work may be above its second turn. In the first turn memory grows as it should:
 * each method loads code and fills caches when it first runs.
 */
const mostGrowth = 10;

/** `cases`: rounds of a work. */
export async function run({ minutes, kind, cases = Number.POSITIVE_INFINITY }) {
  const folder = mkdtempSync(join(tmpdir(), 'promot-leak-'));
  let faults = 0;
  const fault = (what) => {
    faults++;
    console.log(`FAULT: ${what}`);
  };
  const said = [];
  try {
    const runs = kinds(makeTasks(folder)).map((one) => requestOf(one, join(folder, 'run')));
    const works = ['steps', 'works'].filter((name) => kind === undefined || name === kind);
    for (const work of works) {
      const seconds = (60 * minutes) / works.length;
      // Infinity is no JSON.
      const request = { work, runs, seconds, folder, ...(Number.isFinite(cases) && { cases }) };
      const answer = await runLimited(child, request, { seconds: seconds + 240, megabytes: 1500 });
      if (answer.outcome !== 'loaded') {
        fault(`${work}: ${answer.outcome}: ${answer.message} ${answer.stack}`);
        continue;
      }
      const { samples, count } = answer;
      // In a turn of the works each method runs once; one of the steps is 120 steps.
      const { growth, found } = judge(samples, work === 'works' ? runs.length : 6);
      for (const what of found) fault(`${work}: ${what}`);
      said.push(
        `${count} ${work === 'steps' ? 'steps of training' : 'rounds of all works'} ` +
          `(${growth === undefined ? 'too few to judge the memory' : `${growth.toFixed(1)} MB`})`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`leak: ${said.join(', ')}, ${faults} faults`);
  return faults;
}

/** Megabytes by which memory grew, undefined where there are too few samples; and what is wrong. */
export function judge(samples, turn) {
  const found = [];
  const middle = (from) =>
    samples
      .slice(from, from + turn)
      .map(({ megabytes }) => megabytes)
      .toSorted((a, b) => a - b)[Math.floor(turn / 2)];
  const tensors = [...new Set(samples.slice(1).map((sample) => sample.tensors))];
  if (tensors.length > 1) found.push(`live tensors ${tensors.slice(0, 10).join(', ')}`);
  const growth = samples.length >= 3 * turn ? middle(samples.length - turn) - middle(turn) : undefined;
  if (growth > mostGrowth) found.push(`${growth.toFixed(0)} MB more in the last turn than in the second`);
  return { growth, found };
}
