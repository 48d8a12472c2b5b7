// `npm run quickstart`: set-up, then the built-in demonstration. Further arguments are passed on to it.
import { run } from './run.mjs';
import { setup } from './setup.mjs';

await setup();
const well = run(process.execPath, ['packages/promot/bin/promot.js', 'quickstart', ...process.argv.slice(2)]);
process.exitCode = well ? 0 : 1;
