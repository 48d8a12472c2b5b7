#!/usr/bin/env node
// The command `promot`. It lives outside dist/ so that npm can link it in a clone that has not been compiled yet.
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/cli/main.js', import.meta.url);
// Node.js 22 and later keep what they compiled for the next start.
nodeModule.enableCompileCache?.();
if (existsSync(fileURLToPath(main))) {
  await import(main.href);
} else {
  console.error('promot is not compiled yet. In the folder of the clone run: npm run setup');
  process.exitCode = 2;
}
