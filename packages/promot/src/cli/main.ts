// The entry of `promot`; bin/promot.js imports it.
import { runCli } from './program.js';

// A reader that has seen enough (`promot ... | head -1`) is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    // A command that has just ended says its exit code first.
    setImmediate(() => process.exit());
  });

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  exitCode: 0,
  // A clone has no `promot` on the PATH; npx finds it.
  program: process.env.npm_command === 'exec' ? 'npx promot' : 'promot',
});
