// `npm run faults -- CAMPAIGN [--minutes N] [--cases N] [--seed S]`: looks for faults with damaged files and killed
// processes. It ends after so many minutes or cases, whatever comes first, and at SIGTERM.
// A campaign is a file of scripts/faults with a function `run(options)` that resolves to the number of faults it found.
import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setup } from './setup.mjs';

const folder = new URL('faults/', import.meta.url);
const names = readdirSync(folder)
  .filter((name) => /^[a-z]+\.mjs$/.test(name))
  .map((name) => name.slice(0, -'.mjs'.length));
const { values, positionals } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    cases: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    kind: { type: 'string' },
  },
  allowPositionals: true,
});
const [name] = positionals;
const [minutes, cases, seed] = [values.minutes, values.cases, values.seed].map(Number);
if (
  positionals.length !== 1 ||
  !names.includes(name) ||
  !(minutes > 0) ||
  !(cases > 0) ||
  !Number.isSafeInteger(seed)
) {
  console.error(`usage: npm run faults -- ${names.join('|')} [--minutes N] [--cases N] [--seed S] [--kind KIND]`);
  process.exit(2);
}
await setup();
const { run } = await import(new URL(`${name}.mjs`, folder).href);
const faults = await run({ minutes, cases, seed, kind: values.kind });
process.exitCode = faults > 0 ? 1 : 0;
