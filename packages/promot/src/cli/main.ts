// The entry of `promot`; bin/promot.js imports it.
import { runCli } from './program.js';

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  exitCode: 0,
});
