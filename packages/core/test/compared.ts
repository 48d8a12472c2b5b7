// Counts the elements that a suite compares with golden files. A comparison that gets lost unseen (a key that is
// renamed, a list that is empty) makes the count fall below golden/compared.json, and the suite fails.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, expect } from 'vitest';

/** By test file, below packages/core, and suite. */
export const fewest = JSON.parse(
  readFileSync(fileURLToPath(new URL('../golden/compared.json', import.meta.url)), 'utf8'),
) as Readonly<Record<string, Readonly<Record<string, number>>>>;

interface Task {
  readonly result?: { readonly state: string } | undefined;
  readonly tasks?: readonly Task[];
}

/** Whether every test passed: with a filter, or after a failure, there is nothing to count. */
const allPassed = ({ tasks, result }: Task): boolean =>
  tasks === undefined ? result?.state === 'pass' : tasks.every(allPassed);

/**
 * Called in a suite; the function it returns is told of each comparison.
 *
 * @example
 * const compared = countCompared('test/golden-models.test.ts', 'llama');
 * compared(logits.numel);
 */
export function countCompared(file: string, suite: string): (elements: number) => void {
  let count = 0;
  let own: Task = {};
  afterEach(({ task }) => {
    own = task.suite ?? task.file;
  });
  afterAll(() => {
    if (!allPassed(own)) return;
    const least = fewest[file]?.[suite];
    const what = `${count} elements are compared, golden/compared.json says ${least}`;
    expect(count, what).toBeGreaterThanOrEqual(least ?? Number.POSITIVE_INFINITY);
  });
  return (elements) => {
    count += elements;
  };
}
