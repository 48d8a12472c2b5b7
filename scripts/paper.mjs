// `npm run paper`: every table and figure of the paper on the built-in models, into docs/paper. Hours; what is done is
// not repeated, and a second process of the same takes the jobs that this one has not. Further arguments are passed on.
import { run } from './run.mjs';
import { setup } from './setup.mjs';

const five = ['rte', 'enfr', 'supervised', 'table-2', 'table-3'];
const three = [
  'figure-1',
  'figure-2',
  'figure-3',
  'figure-7',
  'table-1',
  'table-6',
  'table-7',
  'table-8',
  'table-9',
  'table-10',
  'table-11',
  'figure-5',
  'figure-6',
];

await setup();
for (const name of [...five, ...three]) {
  const seeds = five.includes(name) ? 5 : 3;
  const request = ['reproduce', name, '--out', 'docs/paper', '--set', `seeds=${seeds}`, ...process.argv.slice(2)];
  if (!run(process.execPath, ['packages/promot/bin/promot.js', ...request])) {
    process.exitCode = 1;
    break;
  }
}
