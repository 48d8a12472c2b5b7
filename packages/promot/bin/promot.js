#!/usr/bin/env node
// The command `promot`. It lives outside dist/ so that npm can link it in a clone that has not been compiled yet.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(fileURLToPath(main))) {
  await import(main.href);
} else {
  console.error('promot is not compiled yet. In the folder of the clone run: npm run setup');
  process.exitCode = 2;
}
