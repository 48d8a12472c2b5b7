// `npm test`: set-up, lint, types of the tests and scripts, tests. All are run even if one fails. The last line is
// plain for machines, `N passed, N failed` and, where there are any, `, N skipped`; lint and types count as one check
// each. Arguments go to vitest:
// `npm test -- packages/torch/src/setup`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runModule } from './run.mjs';
import { setup } from './setup.mjs';

await setup();
const count = { passed: 0, failed: 0, skipped: 0 };
check('Lint (biome check)', () => runModule('@biomejs/biome/bin/biome', ['check', '--error-on-warnings', '.']));
check('Types of the tests', () => runModule('typescript/bin/tsc', ['-p', 'tsconfig.test.json']));
check('Types of the scripts and benchmarks', () => runModule('typescript/bin/tsc', ['-p', 'tsconfig.scripts.json']));
runTests(process.argv.slice(2));
const skipped = count.skipped > 0 ? `, ${count.skipped} skipped` : '';
console.log(`${count.passed} passed, ${count.failed} failed${skipped}`);
process.exitCode = count.failed > 0 || count.passed === 0 ? 1 : 0;

function check(title, work) {
  console.error(title);
  count[work() ? 'passed' : 'failed']++;
}

function runTests(filters) {
  const folder = mkdtempSync(join(tmpdir(), 'promot-test-'));
  const file = join(folder, 'results.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const well = runModule('vitest/vitest.mjs', ['run', ...reporters, ...filters]);
    const results = readResults(file);
    count.passed += results.numPassedTests;
    count.skipped += results.numPendingTests + results.numTodoTests;
    // A file that cannot be loaded fails without a test that fails.
    count.failed += results.numFailedTests || (well ? 0 : 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readResults(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 };
  }
}
