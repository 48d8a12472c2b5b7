// Works that repeat for long: a training of many steps, then whole runs, generation and damaged files again and again.
// The number of live tensors must stay, and the memory of the process must not grow.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runLimited } from './lib/limited.mjs';
import { kinds, makeTasks, requestOf } from './lib/runs.mjs';

const child = fileURLToPath(new URL('lib/leak-child.mjs', import.meta.url));
/** Megabytes by which the last quarter of a work may be above its second quarter: what the allocator keeps. */
const mostGrowth = 30;

export async function run({ minutes, kind }) {
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
      const request = { work, runs, seconds, folder };
      const answer = await runLimited(child, request, { seconds: seconds + 240, megabytes: 1500 });
      if (answer.outcome !== 'loaded') {
        fault(`${work}: ${answer.outcome}: ${answer.message} ${answer.stack}`);
        continue;
      }
      const { samples, count } = answer;
      const quarter = (n) =>
        samples.slice(Math.floor((samples.length * (n - 1)) / 4), Math.ceil((samples.length * n) / 4));
      const middle = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
      const growth =
        middle(quarter(4).map(({ megabytes }) => megabytes)) - middle(quarter(2).map(({ megabytes }) => megabytes));
      const tensors = [...new Set(samples.slice(1).map((sample) => sample.tensors))];
      if (tensors.length > 1) fault(`${work}: live tensors ${tensors.slice(0, 10).join(', ')}`);
      // Before each method has run a few times, memory grows as it should.
      const judged = samples.length >= 4 * runs.length;
      if (judged && growth > mostGrowth)
        fault(`${work}: ${growth.toFixed(0)} MB more in the last quarter than in the second`);
      said.push(
        `${count} ${work === 'steps' ? 'steps of training' : 'rounds of all works'} (${judged ? `${growth.toFixed(1)} MB` : 'too few to judge the memory'})`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`leak: ${said.join(', ')}, ${faults} faults`);
  return faults;
}
