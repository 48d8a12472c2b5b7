// Tests run from the TypeScript sources: the workspace's packages resolve to src/, not to dist/.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Files of `test` folders first: they train and start processes, and what is long should not be left for the end. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const short = ({ moduleId }: TestSpecification) => !moduleId.includes('/test/');
    return (await super.sort(files)).sort((a, b) => Number(short(a)) - Number(short(b)));
  }
}

/** Files that need a process of their own. */
const alone = ['packages/*/test/alone/*.test.ts', 'packages/torch/src/setup/*.test.ts'];

export default defineConfig({
  resolve: {
    alias: [
      { find: '@promot/torch/errors', replacement: source('packages/torch/src/errors.ts') },
      { find: '@promot/torch/files', replacement: source('packages/torch/src/files/index.ts') },
      { find: '@promot/torch/setup', replacement: source('packages/torch/src/setup/index.ts') },
      { find: '@promot/core/errors', replacement: source('packages/core/src/base/errors.ts') },
      { find: '@promot/core/train', replacement: source('packages/core/src/training/index.ts') },
      { find: /^@promot\/core\/(.*)$/u, replacement: source('packages/core/src/$1/index.ts') },
      { find: '@promot/core', replacement: source('packages/core/src/index.ts') },
      { find: '@promot/torch', replacement: source('packages/torch/src/index.ts') },
    ],
  },
  test: {
    projects: [
      // A process for each file takes as long as most of them, so the files share processes. They put back what they
      // change. What cannot, such as what a process tries once, stands in a folder `alone`. The tests of the set-up
      // load other libraries under libtorch's name.
      { extends: true, test: { name: 'alone', include: alone } },
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['packages/*/{src,test,lab}/**/*.test.ts'],
          exclude: alone,
          isolate: false,
        },
      },
    ],
    globalSetup: source('packages/torch/test/ensure-addon.ts'),
    setupFiles: source('packages/torch/test/quick-equality.ts'),
    pool: 'forks',
    // A thread each: a second one makes tensors as small as the tests' no faster. One process more than there are
    // cores, because tests of ranks and locks wait for seconds.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongFirst },
    env: { OMP_NUM_THREADS: '1' },
    testTimeout: 120_000,
  },
});
